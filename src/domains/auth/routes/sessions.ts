import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { endSessions, MAX_SESSIONS } from '../../../accounts/sessions.ts'
import { inTransaction } from '../../../db/transaction.ts'
import { keysetPage, pageLinks, pageResponse, readCursor } from '../../../lib/keyset.ts'
import { InvalidCursor, NotFound } from '../../../lib/problems.ts'
import { isUuid, nothing } from '../../../lib/schema.ts'
import { listSessions } from '../queries.ts'
import { SessionListParameters, SessionPage, SessionParameters } from '../schemas.ts'

const tags = ['auth']
const access = { unverified: true } as const

/** Where a user is signed in. */
export const sessionRoutes: FastifyPluginAsyncTypebox = async app => {
  const { accounts } = app
  const { db } = accounts.database

  app.get(
    '/sessions',
    {
      config: { access, problems: [InvalidCursor] },
      schema: {
        operationId: 'listSessions',
        summary: 'List where you are signed in, newest first',
        description: `A sign-in beyond ${MAX_SESSIONS} sessions ends the one that was unused for longest.`,
        tags,
        querystring: SessionListParameters,
        response: { 200: pageResponse(SessionPage) },
      },
    },
    async ({ user, query: { cursor, per_page }, url }, reply) => {
      const before = readCursor('sessions', cursor, isUuid)
      const found = await listSessions(db, user, { before, limit: per_page + 1 })
      const page = keysetPage('sessions', found, per_page, ({ id }) => id)
      return reply.header('link', pageLinks(url, page.pagination)).send(page)
    },
  )

  app.delete(
    '/sessions/:id',
    {
      config: { access },
      schema: {
        operationId: 'revokeSession',
        summary: 'End one of your sessions',
        tags,
        params: SessionParameters,
        response: { 204: nothing('It is over.') },
      },
    },
    async ({ actor, user, params }, reply) => {
      const which = { user_id: user.id, only: params.id, how: 'user' } as const
      const ended = await inTransaction(db, tx => endSessions(tx, accounts, actor, which))
      if (ended === 0) throw new NotFound('You have no such session.')
      return reply.code(204).send()
    },
  )

  app.delete(
    '/sessions',
    {
      config: { access },
      schema: {
        operationId: 'revokeOtherSessions',
        summary: 'End all of your sessions but this one',
        tags,
        response: { 204: nothing('They are over.') },
      },
    },
    async ({ actor, user }, reply) => {
      const which = { user_id: user.id, except: user.session_id, how: 'user' } as const
      await inTransaction(db, tx => endSessions(tx, accounts, actor, which))
      return reply.code(204).send()
    },
  )
}
