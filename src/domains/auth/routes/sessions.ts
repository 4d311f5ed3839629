import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { endSessions } from '../../../accounts/sessions.ts'
import { inTransaction } from '../../../db/transaction.ts'
import { NotFound } from '../../../lib/problems.ts'
import { nothing, ref } from '../../../lib/schema.ts'
import { listSessions } from '../queries.ts'
import { SessionList, SessionParameters } from '../schemas.ts'

const tags = ['auth']
const access = { unverified: true } as const

/** Where a user is signed in. */
export const sessionRoutes: FastifyPluginAsyncTypebox = async app => {
  const { accounts } = app
  const { db } = accounts.database

  app.get(
    '/sessions',
    {
      config: { access },
      schema: {
        operationId: 'listSessions',
        summary: 'List where you are signed in, newest first',
        tags,
        response: { 200: ref(SessionList) },
      },
    },
    async ({ user }) => ({ data: await listSessions(db, user.id, user.session_id) }),
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
