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
      config,
      schema: {
        operationId: 'pingWebhook',
        summary: 'Send a webhook a message for a test',
        description:
          'Its type is `webhook.ping`; it is tried once. The answer is the delivery, which tells what came of it when it ' +
          'is read again.',
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
        summary: 'Send an event again',
        description:
          'Under the same `webhook-id`, and with all attempts before it. What is still pending is sent now.',
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
      config,
      schema: {
        operationId: 'replayWebhook',
        summary: 'Send the events of a time again',
        description: `In their order, each under its \`webhook-id\`. At most ${MOST_REPLAYED} at once.`,
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
