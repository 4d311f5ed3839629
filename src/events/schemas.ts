import { Type } from '@sinclair/typebox'
import { component, Id, Nullable, OneOf, Timestamp } from '../lib/schema.ts'
import { eventTypeNames } from './event-type.ts'
import { events } from './tables.ts'

/** Complete once every domain is loaded. Not for what is stored: an older release may have recorded others. */
export const EventType = component(
  'EventType',
  OneOf(eventTypeNames, {
    description:
      'The types of events that this release records: subject and past tense. Others may come with later releases, so ' +
      'whoever asks for `*`, or for how types begin, should pass over what is not known.',
  }),
)

export const Event = component(
  'Event',
  Type.Object(
    {
      id: Id,
      type: Type.String({
        description:
          'Subject and past tense, as in `item.published`: one of `EventType`, unless an older release recorded it.',
      }),
      actor: Type.Object(
        { type: OneOf(['user', 'api_key', 'anonymous', 'system']), id: Nullable(Id) },
        { description: 'Who made the change.' },
      ),
      owner_id: Nullable(Id, { description: 'The user whose data it is about.' }),
      subject: Type.Object({ type: Type.String(), id: Nullable(Id) }, { description: 'What was changed.' }),
      request_id: Nullable(Type.String(), { description: '`X-Request-Id` of the request that led to it.' }),
      ip: Nullable(Type.String()),
      user_agent: Nullable(Type.String()),
      changes: Type.Record(
        Type.String(),
        Type.Array(Type.Unknown(), { minItems: 2, maxItems: 2, description: 'Before and after.' }),
        { description: 'The fields that differ.' },
      ),
      created_at: Timestamp,
    },
    { description: 'One change, recorded in the transaction that made it. It is never altered.' },
  ),
)

/** What a query selects to answer with `Event`. */
export const eventColumns = {
  id: events.id,
  type: events.type,
  actor: { type: events.actor_type, id: events.actor_id },
  owner_id: events.owner_id,
  subject: { type: events.subject_type, id: events.subject_id },
  request_id: events.request_id,
  ip: events.ip,
  user_agent: events.user_agent,
  changes: events.changes,
  created_at: events.created_at,
}
