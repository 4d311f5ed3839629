import { type Static, Type } from '@sinclair/typebox'
import { Event } from '../../events/schemas.ts'
import { KeysetPage, keysetParameters } from '../../lib/keyset.ts'
import { component, Id, Moment, Nullable, OneOf, Timestamp } from '../../lib/schema.ts'

export const EventPage = component('EventPage', KeysetPage(Event))

const filters = {
  type: Type.Optional(
    Type.String({
      pattern: '^[a-z_.]*\\*?$',
      minLength: 1,
      maxLength: 100,
      description: 'A type, or how types begin: `item.*`.',
    }),
  ),
  actor_id: Type.Optional(Id),
  subject_id: Type.Optional(Id),
  owner_id: Type.Optional(Id),
  request_id: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._-]{1,128}$' })),
  from: Type.Optional(Moment({ description: 'Events from this moment on.' })),
  to: Type.Optional(Moment({ description: 'Events before this moment.' })),
}

export const EventFilter = Type.Object(filters)
export type EventFilter = Static<typeof EventFilter>

export const EventListParameters = Type.Object({ ...filters, ...keysetParameters })

export const VerifyParameters = Type.Object({
  after_seal: Type.Integer({
    minimum: 0,
    maximum: 2 ** 31 - 1,
    default: 0,
    description: '`last_seal` of an answer that was not complete.',
  }),
})

const Breach = Type.Object(
  {
    fault: OneOf(['altered', 'removed', 'inserted', 'seal_altered', 'seal_missing'], {
      description: 'What happened to the event, or to the seal itself.',
    }),
    seal: Type.Integer({ minimum: 1 }),
    event_id: Nullable(Id),
  },
  { additionalProperties: false },
)

export const AuditVerification = component(
  'AuditVerification',
  Type.Object({
    valid: Type.Boolean({ description: 'Whether all that was looked at is as it was sealed.' }),
    breach: Type.Unsafe<Static<typeof Breach> | null>({
      ...Breach,
      type: ['object', 'null'],
      description: 'The first place where it is not.',
    }),
    seals: Type.Integer({ minimum: 0, description: 'How many seals were looked at.' }),
    events: Type.Integer({ minimum: 0, description: 'How many events they cover.' }),
    last_seal: Type.Integer({ minimum: 0, description: 'The last of them.' }),
    last_hash: Nullable(Type.String(), {
      description: 'Its hash. Noted elsewhere, it shows whether the whole chain was ever made anew.',
    }),
    complete: Type.Boolean({ description: 'If not, ask again with `after_seal`.' }),
    expired_before: Nullable(Timestamp, {
      description:
        'Events before this were dropped after their time; of them, only the chain could be verified.',
    }),
    unsealed_events: Type.Integer({ minimum: 0, description: 'Events so new that no seal covers them.' }),
  }),
)
