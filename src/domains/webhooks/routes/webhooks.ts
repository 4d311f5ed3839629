import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { keysetPage, pageLinks, pageResponse, readCursor } from '../../../lib/keyset.ts'
import { Conflict, Forbidden, InvalidCursor } from '../../../lib/problems.ts'
import { isUuid, nothing, ref, withHeaders } from '../../../lib/schema.ts'
import { demandScope, READ, reachOf, WRITE } from '../access.ts'
import { MOST_WEBHOOKS } from '../limits.ts'
import { selectWebhooks } from '../queries.ts'
import {
  IssuedWebhook,
  NewWebhook,
  Webhook,
  WebhookChanges,
  WebhookListParameters,
  WebhookPage,
  WebhookParameters,
} from '../schemas.ts'
import { vaultOf } from '../secrets.ts'
import { createWebhook, deleteWebhook, updateWebhook, viewWebhook } from '../service.ts'
import { health } from './health.ts'

const tags = ['webhooks']
const LIST = 'webhooks'

/** What is told of webhooks, and to what address. */
export const webhookRoutes: FastifyPluginAsyncTypebox = async app => {
  const { outbound } = app
  const { db } = app.database
  const vault = vaultOf(app.accounts.config)

  app.get(
    '',
    {
      config: { access: READ, problems: [InvalidCursor] },
      schema: {
        operationId: 'listWebhooks',
        summary: 'List your webhooks, newest first',
        description: 'An API key does not see those whose scope is `all`.',
        tags,
        querystring: WebhookListParameters,
        response: { 200: pageResponse(WebhookPage) },
      },
    },
    async ({ user, query: { cursor, per_page }, url }, reply) => {
      const before = readCursor(LIST, cursor, isUuid)
      const webhooks = await selectWebhooks(db, reachOf(user), { before, limit: per_page + 1 })
      const page = keysetPage(LIST, webhooks, per_page, ({ id }) => id)
      return reply.header('link', pageLinks(url, page.pagination)).send(page)
    },
  )

  app.post(
    '',
    {
      config: {
        access: WRITE,
        idempotency: true,
        versioned: 'answer',
        embedded: health,
        problems: [Conflict, Forbidden],
      },
      schema: {
        operationId: 'createWebhook',
        summary: 'Have events posted to an address',
        description:
          'From now on, each event is posted there, signed with the secret that only this answer holds. An address that ' +
          `is not public is refused. At most ${MOST_WEBHOOKS} can be kept.`,
        tags,
        body: ref(NewWebhook),
        response: {
          201: withHeaders(ref(IssuedWebhook), { Location: 'Where the webhook is looked after.' }),
        },
      },
    },
    async ({ db, actor, user, body }, reply) => {
      demandScope(user, body.scope)
      const webhook = await createWebhook(db, { outbound, vault }, actor, user.id, body)
      return reply.code(201).header('location', `/api/v1/webhooks/${webhook.id}`).send(webhook)
    },
  )

  app.get(
    '/:id',
    {
      config: { access: READ, versioned: true, embedded: health },
      schema: {
        operationId: 'getWebhook',
        summary: 'Read a webhook',
        tags,
        params: WebhookParameters,
        response: { 200: ref(Webhook) },
      },
    },
    ({ user, params }) => viewWebhook(db, params.id, reachOf(user)),
  )

  for (const [method, operationId] of [
    ['PATCH', 'updateWebhook'],
    ['PUT', 'putWebhook'],
  ] as const) {
    app.route({
      method,
      url: '/:id',
      config: { access: WRITE, versioned: true, embedded: health, problems: [Forbidden] },
      schema: {
        operationId,
        summary: 'Change a webhook',
        description: 'What is left out stays as it is. What waits to be sent is sent to the new address.',
        tags,
        params: WebhookParameters,
        body: ref(WebhookChanges),
        response: { 200: ref(Webhook) },
      },
      handler: ({ db, actor, user, params, body, precondition }) => {
        demandScope(user, body.scope)
        return updateWebhook(db, outbound, actor, { ...params, reach: reachOf(user), precondition }, body)
      },
    })
  }

  app.delete(
    '/:id',
    {
      config: { access: WRITE, versioned: true, embedded: health },
      schema: {
        operationId: 'deleteWebhook',
        summary: 'Delete a webhook, and what waits to be sent to it',
        tags,
        params: WebhookParameters,
        response: { 204: nothing('The webhook is gone.') },
      },
    },
    async ({ db, actor, user, params, precondition }, reply) => {
      await deleteWebhook(db, actor, { ...params, reach: reachOf(user), precondition })
      return reply.code(204).send()
    },
  )
}
