import { type Static, Type } from '@sinclair/typebox'
import { TypePattern } from '../../events/type-patterns.ts'
import { KeysetPage, keysetParameters } from '../../lib/keyset.ts'
import { component, Id, Moment, Nullable, OneOf, ref, Timestamp } from '../../lib/schema.ts'
import { EXCERPT_BYTES, MAX_URL_LENGTH } from './limits.ts'

const closed = { additionalProperties: false }

const Url = Type.String({
  minLength: 1,
  maxLength: MAX_URL_LENGTH,
  // The reader of URLs drops them, so that what is shown would not be what is used.
  pattern: '^[^\\s\\u0000-\\u001f\\u007f-\\u009f]*$',
  'x-message': `must be a URL of at most ${MAX_URL_LENGTH} characters, without spaces or control characters`,
  description: 'Where messages are posted: http or https, at a public address.',
})
const Description = Nullable(Type.String({ maxLength: 500 }), { description: 'For yourself.' })
const Types = Type.Array(TypePattern, {
  minItems: 1,
  maxItems: 50,
  uniqueItems: true,
  description: 'Of which events it hears: types, or how types begin, as in `item.*`; `*` is all of them.',
})
const Scope = OneOf(['own', 'all'], {
  description: '`own`: events about what is yours. `all`: those of everybody, which only administrators get.',
})
const Enabled = Type.Boolean({
  description:
    'Whether anything is sent. What happens while it is not is not sent later, but can be replayed.',
})

export const Webhook = component(
  'Webhook',
  Type.Object(
    {
      id: Id,
      user_id: Id,
      url: Url,
      description: Description,
      types: Types,
      scope: Scope,
      enabled: Enabled,
      disabled_reason: Nullable(OneOf(['owner', 'gone', 'failing']), {
        description:
          'Why it is disabled: by its owner; because the receiver answered 410; because nothing but failures came of ' +
          'five days.',
      }),
      disabled_at: Nullable(Timestamp),
      failing_since: Nullable(Timestamp, {
        description: 'When the first attempt failed after the last one that succeeded; `null`: all is well.',
      }),
      previous_secret_expires_at: Nullable(Timestamp, {
        description: 'Until when messages are signed with the secret before the last rotation, too.',
      }),
      version: Type.Integer({ minimum: 1, description: 'One more with each change.' }),
      created_at: Timestamp,
      updated_at: Timestamp,
    },
    { description: 'An address that is told of events, by messages as Standard Webhooks describes them.' },
  ),
)
export type Webhook = Static<typeof Webhook>

export const IssuedWebhook = component(
  'IssuedWebhook',
  Type.Object(
    {
      ...Webhook.properties,
      secret: Type.String({
        description: 'What messages are signed with: `whsec_` and base64. Only this answer holds it.',
      }),
    },
    { description: 'A webhook, with a secret that was made just now.' },
  ),
)
export type IssuedWebhook = Static<typeof IssuedWebhook>

export const WebhookPage = component('WebhookPage', KeysetPage(Webhook))

export const NewWebhook = component(
  'NewWebhook',
  Type.Object(
    {
      url: Url,
      description: Type.Optional(Description),
      types: Type.Optional({ ...Types, default: ['*'] }),
      scope: Type.Optional({ ...Scope, default: 'own' }),
    },
    { ...closed, description: 'A webhook to be.' },
  ),
)
export type NewWebhook = Static<typeof NewWebhook>

export const WebhookChanges = component(
  'WebhookChanges',
  Type.Partial(
    Type.Object({ url: Url, description: Description, types: Types, scope: Scope, enabled: Enabled }),
    { ...closed, description: 'What is to be different.' },
  ),
)
export type WebhookChanges = Static<typeof WebhookChanges>

export const DELIVERY_STATUSES = ['pending', 'succeeded', 'failed'] as const

const DeliveryAttempt = component(
  'WebhookAttempt',
  Type.Object(
    {
      attempted_at: Type.String({ format: 'date-time' }),
      duration_ms: Type.Integer({ minimum: 0 }),
      response_status: Nullable(Type.Integer(), { description: '`null`: there was no answer.' }),
      response_body: Type.String({ description: `How the answer began: its first ${EXCERPT_BYTES} bytes.` }),
      error: Nullable(Type.String(), { description: 'Why it does not count; `null`: it succeeded.' }),
    },
    { description: 'One attempt, and what came of it.' },
  ),
)

export const WebhookDelivery = component(
  'WebhookDelivery',
  Type.Object(
    {
      id: { ...Id, description: 'The id of the event, which the receiver sees as `webhook-id`.' },
      webhook_id: Id,
      type: Type.String({ description: 'The type of the event; `webhook.ping` for a ping.' }),
      request_id: Nullable(Type.String(), {
        description: '`X-Request-Id` of the request that led to the event.',
      }),
      status: OneOf([...DELIVERY_STATUSES], {
        description: '`failed`: no further attempt will be made unless it is replayed.',
      }),
      next_attempt_at: Nullable(Timestamp, { description: 'Of what is pending.' }),
      attempts: Type.Array(ref(DeliveryAttempt), {
        description: 'Oldest first; of many, the last ones.',
      }),
      created_at: Timestamp,
    },
    { description: 'One event on its way to one webhook.' },
  ),
)
export type WebhookDelivery = Static<typeof WebhookDelivery>

export const WebhookDeliveryPage = component('WebhookDeliveryPage', KeysetPage(WebhookDelivery))

export const Replay = component(
  'WebhookReplay',
  Type.Object(
    {
      from: Moment({ description: 'Events from this moment on.' }),
      to: Type.Optional(Moment({ description: 'Events before this moment; default: until now.' })),
      failed_only: Type.Optional(
        Type.Boolean({
          default: false,
          description:
            'Only those whose delivery has failed. Otherwise all that the webhook would hear of, whether or not they ' +
            'were delivered, or happened while it was disabled or before it was made.',
        }),
      ),
    },
    { ...closed, description: 'What is to be sent again.' },
  ),
)
export type Replay = Static<typeof Replay>

export const Replayed = component(
  'WebhookReplayed',
  Type.Object(
    { replayed: Type.Integer({ minimum: 0, description: 'How many events are on their way again.' }) },
    { description: 'What was put on its way.' },
  ),
)

export const WebhookParameters = Type.Object({ id: Id })
export const WebhookListParameters = Type.Object(keysetParameters)

export const DeliveryParameters = Type.Object({ id: Id, delivery_id: Id })
export const DeliveryListParameters = Type.Object({
  status: Type.Optional(OneOf([...DELIVERY_STATUSES])),
  ...keysetParameters,
})
