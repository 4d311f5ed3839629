import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { inTransaction } from '../db/transaction.ts'
import { accessDenied } from '../events/access-denied.ts'
import { record } from '../events/record.ts'
import type { Principal, Role } from '../lib/access.ts'
import type { Actor } from '../lib/actor.ts'
import { Forbidden, Unauthenticated } from '../lib/problems.ts'
import { clientAddress } from './client-address.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls, and from where: for services, which must not see a request. */
    readonly actor: Actor
  }
}

interface AccessOptions {
  /** Whom a token stands for; undefined when it is not, or no longer, good. */
  authenticate(token: string): Principal | undefined
}

/** Lets in whom the route's `config.access` names; `request.user` is who that is. */
export default fp(
  async (app, { authenticate }: AccessOptions) => {
    app.decorateRequest('user', null)
    app.decorateRequest('actor', { getter: actorOf })

    app.addHook('onRoute', route => {
      const access = route.config?.access
      if (access === undefined || access === 'public') return
      route.onRequest = [admit(access.roles), ...[route.onRequest ?? []].flat()]
    })

    function admit(roles: readonly Role[]) {
      return async (request: FastifyRequest, reply: FastifyReply) => {
        // What only some may see, no cache may keep.
        reply.header('cache-control', 'private, no-store')
        const user = authenticate(bearerToken(request))
        if (user === undefined) throw new Unauthenticated('The access token is not valid.')
        request.user = user
        if (!roles.includes(user.role)) await deny(request)
      }
    }

    async function deny({ actor, routeOptions }: FastifyRequest): Promise<never> {
      const after = { operation: routeOptions.schema?.operationId ?? '' }
      await inTransaction(app.database.db, tx =>
        record(tx, actor, accessDenied, { subject_id: null, owner_id: actor.id, after }),
      )
      throw new Forbidden('Your role does not include this operation.')
    }
  },
  { name: 'access' },
)

function bearerToken({ headers }: FastifyRequest): string {
  const token = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
  if (token === undefined) throw new Unauthenticated('This operation needs an access token.')
  return token
}

function actorOf(this: FastifyRequest): Actor {
  const { user, id, headers } = this
  const origin = { request_id: id, ip: clientAddress(this), user_agent: headers['user-agent'] ?? null }
  return user === null ? { type: 'anonymous', id: null, origin } : { type: 'user', id: user.id, origin }
}
