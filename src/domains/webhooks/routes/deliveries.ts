import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { keysetPage, pageLinks, pageResponse, readCursor } from '../../../lib/keyset.ts'
import { InvalidCursor } from '../../../lib/problems.ts'
import { isUuid, ref } from '../../../lib/schema.ts'
import { READ, reachOf } from '../access.ts'
import { DELIVERIES_KEPT_DAYS } from '../limits.ts'
import { findDelivery, selectDeliveries } from '../queries.ts'
import {
  DeliveryListParameters,
  DeliveryParameters,
  WebhookDelivery,
  WebhookDeliveryPage,
  WebhookParameters,
} from '../schemas.ts'
import { noSuchDelivery } from '../sending-again.ts'
import { viewWebhook } from '../service.ts'

const tags = ['webhooks']
const LIST = 'webhook_deliveries'

/** What was sent, and what came of it. */
export const deliveryRoutes: FastifyPluginAsyncTypebox = async app => {
  const { db } = app.database

  app.get(
    '/:id/deliveries',
    {
      config: { access: READ, problems: [InvalidCursor] },
      schema: {
        operationId: 'listWebhookDeliveries',
        summary: 'List the deliveries of a webhook, latest event first',
        description: `What was sent to it and what came of that, and what is yet to be sent. Kept for ${DELIVERIES_KEPT_DAYS} days.`,
        tags,
        params: WebhookParameters,
        querystring: DeliveryListParameters,
        response: { 200: pageResponse(WebhookDeliveryPage) },
      },
    },
    async ({ user, params, query: { cursor, per_page, status }, url }, reply) => {
      const { id: webhook_id } = await viewWebhook(db, params.id, reachOf(user))
      const before = readCursor(LIST, cursor, isUuid)
      const deliveries = await selectDeliveries(db, { webhook_id, status }, { before, limit: per_page + 1 })
      const page = keysetPage(LIST, deliveries, per_page, ({ id }) => id)
      return reply.header('link', pageLinks(url, page.pagination)).send(page)
    },
  )

  app.get(
    '/:id/deliveries/:delivery_id',
    {
      config: { access: READ },
      schema: {
        operationId: 'getWebhookDelivery',
        summary: 'Read a delivery',
        description: 'What came of each attempt to send an event to a webhook.',
        tags,
        params: DeliveryParameters,
        response: { 200: ref(WebhookDelivery) },
      },
    },
    async ({ user, params }) => {
      const { id: webhook_id } = await viewWebhook(db, params.id, reachOf(user))
      const delivery = await findDelivery(db, webhook_id, params.delivery_id)
      if (delivery === undefined) throw noSuchDelivery()
      return delivery
    },
  )
}
