import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { inTransaction } from '../db/transaction.ts'
import { accessDenied } from '../events/access-denied.ts'
import { record } from '../events/record.ts'
import type { AccessRules, Principal, Scope, SignedInUser } from '../lib/access.ts'
import type { Actor } from '../lib/actor.ts'
import { bearerToken } from '../lib/bearer.ts'
import { EmailUnverified, Forbidden, InsufficientScope, Unauthenticated } from '../lib/problems.ts'
import { clientAddress } from './client-address.ts'
import { listOf } from './on-route.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls. The compiler knows from the route's `config.access` that there is somebody. */
    user: CallerOf<this>
    /** Who calls, and from where: for services, which must not see a request. */
    readonly actor: Actor
    /** Why who calls is not known; told only when the request has been counted. */
    refusal: Error | null
    /** Asks again who calls, for an answer that goes on and on: undefined once the route would no longer let them in. */
    admitAgain(): Promise<Principal | undefined>
  }
  interface FastifyContextConfig {
    /** Where access is `optional`: a token that is not good counts as none, because a cookie may be good. */
    badToken?: 'ignored'
  }
}

type CallerOf<Request> = Request extends { routeOptions: { config: { access: infer Rules extends object } } }
  ? Rules extends { scope: Scope }
    ? Principal
    : SignedInUser
  : Principal | null

type Found = Principal | undefined

interface AccessOptions {
  /** Whom an access token or an API key stands for; undefined when it is not, or no longer, good. */
  authenticate(credential: string): Found | Promise<Found>
  requireVerifiedEmail: boolean
}

/** User agents are free text of any length; this much tells the program. */
const MAX_USER_AGENT = 500

type Done = (error?: Error) => void

/** Lets in whom the route's `config.access` names; `request.user` is who that is. */
export default fp(
  async (app, { authenticate, requireVerifiedEmail }: AccessOptions) => {
    app.decorateRequest('user', null as never)
    app.decorateRequest('refusal', null)
    app.decorateRequest('actor', { getter: actorOf })
    app.decorateRequest('admitAgain', admitAgain)

    app.addHook('onRoute', route => {
      const access = route.config?.access
      if (access === undefined || access === 'public') return
      const rules = access === 'optional' ? undefined : access
      // Between the two stands what was there before: the rate limit, which has to know who calls, and counts refusals.
      route.onRequest = [recognise(rules, route.config?.badToken), ...listOf(route.onRequest), admit(rules)]
    })

    /** Without a promise when it is known who it is: that is what most requests are, and each has to come by here. */
    function recognise(rules: AccessRules | undefined, badToken: 'ignored' | undefined) {
      return (request: FastifyRequest, reply: FastifyReply, done: Done) => {
        // What only some may see, no cache may keep.
        if (rules !== undefined) reply.header('cache-control', 'private, no-store')
        const credential = credentialOf(request)
        if (credential === undefined) {
          if (rules !== undefined) {
            request.refusal = new Unauthenticated('This operation needs an access token.')
          }
          return done()
        }
        const found = authenticate(credential)
        if (found instanceof Promise) found.then(settle).catch(done)
        else settle(found)

        function settle(user: Found) {
          if (user !== undefined) (request as { user: Principal }).user = user
          else if (badToken !== 'ignored') {
            request.refusal = new Unauthenticated('The access token or API key is not valid.')
          }
          done()
        }
      }
    }

    function admit(rules: AccessRules | undefined) {
      return (request: FastifyRequest, _reply: unknown, done: Done) => {
        if (request.refusal !== null) return done(request.refusal)
        if (rules === undefined) return done()
        const refusal = refusalOf(request.user as Principal, request, rules)
        if (refusal instanceof Forbidden && rules.roles !== undefined) recordDenial(request, refusal, done)
        else done(refusal)
      }
    }

    async function admitAgain(this: FastifyRequest): Promise<Found> {
      const rules = this.routeOptions.config.access
      const credential = credentialOf(this)
      if (typeof rules !== 'object' || credential === undefined) return undefined
      const user = await authenticate(credential)
      return user && refusalOf(user, this, rules) === undefined ? user : undefined
    }

    function refusalOf(user: Principal, request: FastifyRequest, rules: AccessRules): Error | undefined {
      if (user.scopes !== null) {
        if (rules.scope === undefined) return new Forbidden('No API key may do this; sign in instead.')
        if (!user.scopes.includes(rules.scope)) {
          return new InsufficientScope(`The API key lacks the scope ${rules.scope}.`)
        }
      }
      if (!hasRole(user, request, rules)) return new Forbidden('Your role does not include this operation.')
      if (requireVerifiedEmail && !user.email_verified && !mayBeUnverified(user, request, rules)) {
        return new EmailUnverified('Verify your e-mail first.')
      }
      return undefined
    }

    function recordDenial({ actor, user, routeOptions }: FastifyRequest, refusal: Error, done: Done) {
      const after = { operation: routeOptions.schema?.operationId ?? '' }
      const facts = { subject_id: null, owner_id: user?.id ?? null, after }
      inTransaction(app.database.db, tx => record(tx, actor, accessDenied, facts)).then(
        () => done(refusal),
        done,
      )
    }
  },
  { name: 'access' },
)

function hasRole(user: Principal, request: FastifyRequest, { roles, self }: AccessRules): boolean {
  if (roles === undefined || roles.includes(user.role)) return true
  return self === true && isOwn(request, user)
}

const mayBeUnverified = (user: Principal, request: FastifyRequest, { unverified }: AccessRules): boolean =>
  unverified === 'self' ? isOwn(request, user) : unverified === true

const isOwn = ({ params }: FastifyRequest, { id }: Principal): boolean =>
  (params as { id?: string }).id?.toLowerCase() === id

/** An access token or an API key, both of which may come as Bearer. */
export function credentialOf({ headers }: FastifyRequest): string | undefined {
  const { authorization } = headers
  const key = headers['x-api-key']
  if (authorization === undefined) return typeof key === 'string' ? key : undefined
  // Something was sent that is not a token: that is for `authenticate` to refuse.
  return bearerToken(authorization) ?? ''
}

function actorOf(this: FastifyRequest): Actor {
  const { user, id, headers } = this
  const user_agent = headers['user-agent']?.slice(0, MAX_USER_AGENT) ?? null
  const origin = { request_id: id, ip: clientAddress(this), user_agent }
  if (user === null) return { type: 'anonymous', id: null, origin }
  return user.api_key_id === null
    ? { type: 'user', id: user.id, origin }
    : { type: 'api_key', id: user.api_key_id, origin }
}
