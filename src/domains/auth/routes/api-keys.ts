import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { keysetPage, pageLinks, pageResponse, readCursor } from '../../../lib/keyset.ts'
import { Conflict, InvalidCursor } from '../../../lib/problems.ts'
import { isUuid, nothing, ref, withHeaders } from '../../../lib/schema.ts'
import { listApiKeys } from '../api-key-queries.ts'
import {
  ApiKey,
  ApiKeyChanges,
  ApiKeyListParameters,
  ApiKeyPage,
  ApiKeyParameters,
  ApiKeyRotation,
  IssuedApiKey,
  NewApiKey,
} from '../api-key-schemas.ts'
import {
  changeApiKey,
  createApiKey,
  findApiKey,
  MAX_API_KEYS,
  revokeApiKey,
  rotateApiKey,
} from '../api-keys.ts'
import { authLimits } from '../limits.ts'

const tags = ['auth']
const access = {}

/** Keys for the programs of a user, who looks after them signed in: a key cannot make keys. */
export const apiKeyRoutes: FastifyPluginAsyncTypebox = async app => {
  const { accounts } = app
  const { db } = accounts.database

  app.get(
    '/api-keys',
    {
      config: { access, problems: [InvalidCursor] },
      schema: {
        operationId: 'listApiKeys',
        summary: 'List your API keys, newest first',
        description: 'Expired ones too, until they are deleted.',
        tags,
        querystring: ApiKeyListParameters,
        response: { 200: pageResponse(ApiKeyPage) },
      },
    },
    async ({ user, query: { cursor, per_page }, url }, reply) => {
      const before = readCursor('api_keys', cursor, isUuid)
      const keys = await listApiKeys(db, user.id, { before, limit: per_page + 1 })
      const page = keysetPage('api_keys', keys, per_page, ({ id }) => id)
      return reply.header('link', pageLinks(url, page.pagination)).send(page)
    },
  )

  app.post(
    '/api-keys',
    {
      config: {
        access,
        limits: authLimits(accounts).createApiKey,
        secret: true,
        idempotency: true,
        problems: [Conflict],
      },
      schema: {
        operationId: 'createApiKey',
        summary: 'Make an API key',
        description: `The answer is the only one that holds the key. At most ${MAX_API_KEYS} can be kept.`,
        tags,
        body: ref(NewApiKey),
        response: { 201: withHeaders(ref(IssuedApiKey), { Location: 'Where the key is looked after.' }) },
      },
    },
    async ({ accounts, actor, user, body, routeOptions: { url } }, reply) => {
      const created = await createApiKey(accounts, actor, user, body)
      return reply.code(201).header('location', `${url}/${created.id}`).send(created)
    },
  )

  app.get(
    '/api-keys/:id',
    {
      config: { access },
      schema: {
        operationId: 'getApiKey',
        summary: 'Show one of your API keys',
        tags,
        params: ApiKeyParameters,
        response: { 200: ref(ApiKey) },
      },
    },
    ({ user, params }) => findApiKey(db, { ...params, user_id: user.id }),
  )

  for (const [method, operationId] of [
    ['PATCH', 'updateApiKey'],
    ['PUT', 'putApiKey'],
  ] as const) {
    app.route({
      method,
      url: '/api-keys/:id',
      config: { access },
      schema: {
        operationId,
        summary: 'Change the name, the scopes or the end of an API key',
        description: 'What is left out stays as it is. It counts from the next request on.',
        tags,
        params: ApiKeyParameters,
        body: ref(ApiKeyChanges),
        response: { 200: ref(ApiKey) },
      },
      handler: ({ actor, user, params, body }) =>
        changeApiKey(accounts, actor, { ...params, user_id: user.id }, body),
    })
  }

  app.post(
    '/api-keys/:id/rotate',
    {
      config: { access, secret: true, body: 'optional', idempotency: true, problems: [Conflict] },
      schema: {
        operationId: 'rotateApiKey',
        summary: 'Replace an API key by a new one',
        description:
          'Name, scopes and end stay. The answer is the only one that holds the new key; the old one is refused at ' +
          'once, or after `overlap_seconds`. Rotating again meanwhile ends the oldest.',
        tags,
        params: ApiKeyParameters,
        body: ref(ApiKeyRotation),
        response: { 200: ref(IssuedApiKey) },
      },
    },
    ({ accounts, actor, user, params, body }) =>
      rotateApiKey(accounts, actor, { ...params, user_id: user.id }, body.overlap_seconds ?? 0),
  )

  app.delete(
    '/api-keys/:id',
    {
      config: { access },
      schema: {
        operationId: 'revokeApiKey',
        summary: 'Delete an API key, which is refused from then on',
        tags,
        params: ApiKeyParameters,
        response: { 204: nothing('It is gone.') },
      },
    },
    async ({ actor, user, params }, reply) => {
      await revokeApiKey(accounts, actor, { ...params, user_id: user.id })
      return reply.code(204).send()
    },
  )
}
