import { type Static, Type } from '@sinclair/typebox'
import { TypePattern } from '../../events/type-patterns.ts'
import { KeysetPage, keysetParameters } from '../../lib/keyset.ts'
import { SortedPage, sortedList } from '../../lib/paging.ts'
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
  examples: ['https://example.com/hooks/plinth'],
})
const Description = Nullable(
  Type.String({ maxLength: 500, examples: ['Tells the shop what is in stock.'] }),
  {
    description: 'What it is for, in words of your own; nothing depends on them.',
  },
)
const MOST_TYPES = 50
const Types = Type.Array(TypePattern, {
  minItems: 1,
  maxItems: MOST_TYPES,
  uniqueItems: true,
  'x-message': `must be 1 to ${MOST_TYPES} different types, or beginnings of types`,
  description:
    'Which events it hears of: of the types in `EventType`, or whose types begin so, as in `item.*`; `*` is all of them.',
  examples: [['item.*', 'post.created']],
})
const Scope = OneOf(['own', 'all'], {
  description: '`own`: events about what is yours. `all`: those of everybody, which only administrators get.',
})
const Enabled = Type.Boolean({
  description:
    'Whether events are sent. Those that happen while it is `false` are not sent later by themselves, but can be replayed.',
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
      disabled_at: Nullable(Timestamp, { description: 'Since when it is disabled; `null`: it is enabled.' }),
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
        description:
          'What messages are signed with: `whsec_`, and 32 bytes in base64. Only this answer holds it.',
        examples: ['whsec_dGhpcyBpcyBhbiBleGFtcGxlLCBub3QgYSBzZWNyZXQ='],
      }),
    },
    { description: 'A webhook, with a secret that was made just now.' },
  ),
)
export type IssuedWebhook = Static<typeof IssuedWebhook>

export const WebhookPage = component('WebhookPage', SortedPage(Webhook))
export type WebhookPage = Static<typeof WebhookPage>

export const NewWebhook = component(
  'NewWebhook',
  Type.Object(
    {
      url: Url,
      description: Type.Optional(Description),
      types: Type.Optional({ ...Types, default: ['*'] }),
      scope: Type.Optional({ ...Scope, default: 'own' }),
    },
    {
      ...closed,
      description: 'Where events are to be posted, and which. Without `types`, all that are yours.',
      examples: [
        { url: 'https://example.com/hooks/plinth', types: ['item.*'], description: 'For the shop.' },
      ],
    },
  ),
)
export type NewWebhook = Static<typeof NewWebhook>

export const WebhookChanges = component(
  'WebhookChanges',
  Type.Partial(
    Type.Object({ url: Url, description: Description, types: Types, scope: Scope, enabled: Enabled }),
    { ...closed, description: 'What is to be different about a webhook; what is left out stays as it is.' },
  ),
)
export type WebhookChanges = Static<typeof WebhookChanges>

export const DELIVERY_STATUSES = ['pending', 'succeeded', 'failed'] as const

const DeliveryAttempt = component(
  'WebhookAttempt',
  Type.Object(
    {
      attempted_at: Type.String({
        format: 'date-time',
        description: 'When the request began.',
        examples: ['2026-11-21T08:00:00.250Z'],
      }),
      duration_ms: Type.Integer({
        minimum: 0,
        description: 'From looking the name up to the headers of the answer.',
        examples: [87],
      }),
      response_status: Nullable(Type.Integer({ examples: [503] }), {
        description: '`null`: there was no answer.',
      }),
      response_body: Type.String({
        description: `The first ${EXCERPT_BYTES.toLocaleString('en')} bytes of the answer, as text; what is not UTF-8 is replaced.`,
        examples: ['Back in a minute.'],
      }),
      error: Nullable(Type.String({ examples: ['The receiver answered 503.'] }), {
        description: 'Why it failed, in a sentence; `null`: it succeeded.',
      }),
    },
    { description: 'One attempt, and what came of it.' },
  ),
)

export const WebhookDelivery = component(
  'WebhookDelivery',
  Type.Object(
    {
      id: {
        ...Id,
        description:
          'The id of the event, which the receiver sees as `webhook-id`; a ping has one of its own. The deliveries of an event ' +
          'to several webhooks share it: unique is only the pair with `webhook_id`.',
      },
      webhook_id: Id,
      type: Type.String({
        description: 'The type of the event; `webhook.ping` for a ping.',
        examples: ['item.created'],
      }),
      request_id: Nullable(Type.String({ examples: ['01a1fe6d-2985-7239-9535-76034f419dc5'] }), {
        description: '`X-Request-Id` of the request that led to the event.',
      }),
      status: OneOf([...DELIVERY_STATUSES], {
        description: '`failed`: no further attempt will be made unless it is replayed.',
      }),
      next_attempt_at: Nullable(Timestamp, {
        description:
          'When it is tried next, while the webhook is enabled: not before, and behind what waits before it. `null`: it is done with.',
      }),
      attempts: Type.Array(ref(DeliveryAttempt), {
        description: 'Oldest first; of many, the last ones.',
      }),
      created_at: Timestamp,
    },
    { description: 'One event on its way to one webhook, and what came of it so far.' },
  ),
)
export type WebhookDelivery = Static<typeof WebhookDelivery>

export const WebhookDeliveryPage = component('WebhookDeliveryPage', KeysetPage(WebhookDelivery))

export const Replay = component(
  'WebhookReplay',
  Type.Object(
    {
      from: Moment({ description: 'Events from this moment on.', examples: ['2026-11-20T22:00:00Z'] }),
      to: Type.Optional(
        Moment({
          description: 'Events before this moment; left out: until now.',
          examples: ['2026-11-21T06:30:00Z'],
        }),
      ),
      failed_only: Type.Optional(
        Type.Boolean({
          default: false,
          description:
            'Only those whose delivery has failed. Otherwise all that the webhook would hear of, whether or not they ' +
            'were delivered, or happened while it was disabled or before it was made.',
        }),
      ),
    },
    { ...closed, description: 'Of which period the events are to be sent again.' },
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
export const sortedWebhooks = sortedList('webhooks', { created_at: 'moment' }, 'created_at')

/** There is nothing to choose. */
export const SORT = { sort_by: 'created_at' } as const

const { sort_by: _chosen, ...paging } = sortedWebhooks.parameters
export const WebhookListParameters = Type.Object(paging)
export type WebhookListParameters = Static<typeof WebhookListParameters>

export const DeliveryParameters = Type.Object({ id: Id, delivery_id: Id })
export const DeliveryListParameters = Type.Object({
  status: Type.Optional(OneOf([...DELIVERY_STATUSES])),
  ...keysetParameters,
})
