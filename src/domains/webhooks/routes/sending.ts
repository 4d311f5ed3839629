import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Conflict } from '../../../lib/problems.ts'
import { ref } from '../../../lib/schema.ts'
import { reachOf, WRITE } from '../access.ts'
import { MOST_REPLAYED } from '../limits.ts'
import { DeliveryParameters, Replay, Replayed, WebhookDelivery, WebhookParameters } from '../schemas.ts'
import { ping, replayDelivery, replayRange } from '../sending-again.ts'

const tags = ['webhooks']
const config = { access: WRITE, idempotency: true, problems: [Conflict] } as const

/** What is sent because the owner wants it sent. */
export const sendingRoutes: FastifyPluginAsyncTypebox = async app => {
  app.post(
    '/:id/ping',
    {
      // Each is a message to somebody else's address.
      config: { ...config, limits: ['tier', { name: 'ping-webhook', rates: '60/hour', by: 'caller' }] },
      schema: {
        operationId: 'pingWebhook',
        summary: 'Ping a webhook',
        description:
          'Sends it a message for a test, of the type `webhook.ping`, which is tried once. The answer is the delivery, which ' +
          'tells what came of it when it is read again.',
        tags,
        params: WebhookParameters,
        response: { 202: ref(WebhookDelivery) },
      },
    },
    async ({ db, id: request_id, user, params }, reply) =>
      reply.code(202).send(await ping(db, params.id, reachOf(user), request_id)),
  )

  app.post(
    '/:id/deliveries/:delivery_id/replay',
    {
      config,
      schema: {
        operationId: 'replayWebhookDelivery',
        summary: 'Replay a delivery',
        description:
          'Sends an event again, under the same `webhook-id`; the attempts before stay in the log. What is still pending is ' +
          'sent now.',
        tags,
        params: DeliveryParameters,
        response: { 202: ref(WebhookDelivery) },
      },
    },
    async ({ db, user, params }, reply) =>
      reply.code(202).send(await replayDelivery(db, params.id, reachOf(user), params.delivery_id)),
  )

  app.post(
    '/:id/replay',
    {
      config: { ...config, limits: ['tier', { name: 'replay-webhook', rates: '60/hour', by: 'caller' }] },
      schema: {
        operationId: 'replayWebhook',
        summary: 'Replay the events of a period',
        description: `Sends them again, in their order, each under its \`webhook-id\`. At most ${MOST_REPLAYED} at once.`,
        tags,
        params: WebhookParameters,
        body: ref(Replay),
        response: { 202: ref(Replayed) },
      },
    },
    async ({ db, user, params, body }, reply) =>
      reply.code(202).send({ replayed: await replayRange(db, params.id, reachOf(user), body) }),
  )
}
