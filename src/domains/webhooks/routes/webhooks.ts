import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { sortedPageLinks, sortedPageResponse } from '../../../lib/paging.ts'
import { Conflict, Forbidden, InvalidCursor } from '../../../lib/problems.ts'
import { nothing, ref, withHeaders } from '../../../lib/schema.ts'
import { demandScope, READ, reachOf, WRITE } from '../access.ts'
import { MOST_WEBHOOKS } from '../limits.ts'
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
import { createWebhook, deleteWebhook, listWebhooks, updateWebhook, viewWebhook } from '../service.ts'
import { health } from './health.ts'

const tags = ['webhooks']

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
        response: { 200: sortedPageResponse(WebhookPage) },
      },
    },
    async ({ user, query, url }, reply) => {
      const page = await listWebhooks(db, reachOf(user), query)
      return reply.header('link', sortedPageLinks(url, page.pagination)).send(page)
    },
  )

  app.post(
    '',
    {
      config: {
        access: WRITE,
        secret: true,
        idempotency: true,
        versioned: 'answer',
        embedded: health,
        problems: [Conflict, Forbidden],
      },
      schema: {
        operationId: 'createWebhook',
        summary: 'Create a webhook',
        description:
          'From now on, events are posted to its address, signed with the secret that only this answer holds. An address ' +
          `that is not public is refused. A user may have ${MOST_WEBHOOKS}.`,
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
        summary: 'Delete a webhook',
        description: 'For good. What waits is not sent, and the log of its deliveries is removed.',
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
