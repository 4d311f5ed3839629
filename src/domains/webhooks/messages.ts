import { Type } from '@sinclair/typebox'
import { Event, EventType } from '../../events/schemas.ts'
import { component, Id, ref, Timestamp } from '../../lib/schema.ts'
import type { Message } from '../../plugins/openapi-messages.ts'
import { PING } from './delivery/message.ts'

export const WebhookMessage = component(
  'WebhookMessage',
  Type.Object(
    {
      type: ref(EventType),
      timestamp: { ...Timestamp, description: 'When it happened.' },
      data: ref(Event),
    },
    { description: 'What is posted to a webhook when an event happened that it asked for.' },
  ),
)

export const WebhookPing = component(
  'WebhookPing',
  Type.Object(
    {
      type: Type.Literal(PING),
      timestamp: { ...Timestamp, description: 'When it was asked for.' },
      data: Type.Object({ webhook_id: Id }),
    },
    { description: 'What is posted to a webhook for a test. No event belongs to it.' },
  ),
)

const MessageHeaders = Type.Object({
  'webhook-id': {
    ...Id,
    description:
      'The id of the event. It is the same whenever the message is sent again, so what is known already needs only a 2xx.',
  },
  'webhook-timestamp': Type.Integer({
    description:
      'When this attempt was made, in seconds since 1970. Refuse what is some minutes away from your own clock.',
    examples: [1_790_000_000],
  }),
  'webhook-signature': Type.String({
    description:
      '`v1,` and, in base64, the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`; its key is what follows ' +
      '`whsec_` in the secret, read as base64. For a day after a rotation there are two, with a space between them; one ' +
      'that fits is enough.',
    examples: ['v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4='],
  }),
  'x-request-id': Type.Optional(
    Type.String({
      description: '`X-Request-Id` of the request that led to the event; absent where none did.',
      maxLength: 128,
    }),
  ),
})

/** As the document tells it to those who write receivers. */
export const event: Message = {
  operationId: 'receiveEvent',
  summary: 'An event, as it is posted to a webhook',
  description:
    'As [Standard Webhooks](https://www.standardwebhooks.com) describes it: each event at least once and, as long as none ' +
    'fails, in order; one message at a time. `webhook.ping` is what a ping sends. Verify the signature over the bytes of ' +
    'the body before reading them, and answer within 15 seconds.',
  tags: ['webhooks'],
  headers: MessageHeaders,
  bodies: [WebhookMessage, WebhookPing],
  responses: {
    '2XX': 'Taken. What the body holds does not matter; its beginning is kept in the log of deliveries.',
    410: 'Nothing more is wanted: the webhook is disabled.',
    default:
      'Any other answer, redirects too, or none: an event is tried again, up to nine times within about three days, and ' +
      'not before the time in `Retry-After`. A ping is not.',
  },
}
