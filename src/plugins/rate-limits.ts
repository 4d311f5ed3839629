import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Counter as Metric } from 'prom-client'
import type { Config } from '../config.ts'
import { namespaceOf } from '../db/namespace.ts'
import { memoized } from '../lib/memoized.ts'
import { RateLimited } from '../lib/problems.ts'
import type { Counted, Counter } from '../rate-limits/counters.ts'
import { leftOf, limitField, policyField, secondsUntil } from '../rate-limits/fields.ts'
import { createMemoryCounters } from '../rate-limits/memory-counters.ts'
import { type CallerTier, type Policy, policiesOf, tierPolicies } from '../rate-limits/policies.ts'
import { createSharedCounters } from '../rate-limits/shared-counters.ts'
import type { SharedRedis } from '../redis/shared.ts'
import { type Caller, knownAs, type ShownCaller, someoneAt, subjectOf } from './counted-callers.ts'
import { listOf } from './on-route.ts'

declare module 'fastify' {
  interface FastifyInstance {
    rateLimits: RateLimits
  }
  interface FastifyContextConfig {
    /** How often the route may be called, where that is not simply what the caller's tier says; `none`: without limit. */
    limits?: 'none' | readonly RouteLimit[]
  }
}

/** `tier`: also what the caller's tier says, in whose place the others stand. */
export type RouteLimit = 'tier' | OwnLimit

type OwnLimit = {
  /** Unique; callers see it in the header fields. */
  name: string
  /** `10/minute; 100/day` */
  rates: string
} & ({ by: CountedBy } | { byBody: Find })

/** The user or API key, or the address of somebody unknown; always the address; or what a function finds. */
type CountedBy = 'caller' | 'address' | Find

/** Where it finds nothing, the address is counted. In a body, which is valid then, it looks later than in all else. */
type Find = (request: FastifyRequest) => string | undefined

export interface RateLimits {
  readonly enabled: boolean
  /** Counts what can be counted only when the body is there; undefined where that is nothing. */
  hookByBody(limits: readonly RouteLimit[]): Hook | undefined
  /** What the caller has left of his tier's quota. */
  standing(request: FastifyRequest): Promise<Standing>
}

interface Standing {
  tier: CallerTier
  counted_by: ShownCaller['counted_by']
  policies: {
    name: string
    quota: number
    window_seconds: number
    remaining: number
    reset_seconds: number
  }[]
}

interface RateLimitOptions {
  config: Config
  redis: SharedRedis | undefined
  /** The session of an access token that was ours, but is good no longer. */
  formerHolder(request: FastifyRequest): string | undefined
}

interface Rule {
  policies(caller: Caller): readonly Policy[]
  subject(request: FastifyRequest, caller: Caller): string
}

type Done = (error?: Error) => void
type Hook = (request: FastifyRequest, reply: FastifyReply, done: Done) => void

/** Counts what callers do, and refuses what is more than their tier, or the route, allows. */
export default fp(
  async (app, { config, redis, formerHolder }: RateLimitOptions) => {
    const tiers = tierPolicies(config)
    const counters =
      redis === undefined ? createMemoryCounters() : createSharedCounters(redis, namespaceOf(app.database.db))
    const refusals = new Metric({
      name: 'plinth_rate_limited_total',
      help: 'Requests that were refused with 429, by the policy that was used up.',
      labelNames: ['policy'],
      registers: [app.metrics],
    })
    const tierRule: Rule = {
      policies: ({ tier }) => tiers[tier],
      subject: (_request, caller) => subjectOf(caller),
    }

    app.decorate('rateLimits', {
      enabled: config.RATELIMIT_ENABLED,
      hookByBody(limits) {
        const rules = config.RATELIMIT_ENABLED ? limits.filter(isByBody).map(ruleOf) : []
        return rules.length === 0 ? undefined : limitBy(rules)
      },
      async standing(request) {
        const caller = request.user === null ? someoneAt(request) : knownAs(request.user)
        const policies = tiers[caller.tier]
        const { counts } = await counters.look(countersOf([tierRule], request, caller))
        return {
          tier: caller.tier,
          counted_by: caller.counted_by,
          policies: counts.map((count, index) => {
            const { name, quota, seconds } = policies[index] as Policy
            const remaining = leftOf(quota, count)
            return { name, quota, window_seconds: seconds, remaining, reset_seconds: secondsUntil(count) }
          }),
        }
      },
    })
    if (!config.RATELIMIT_ENABLED) return

    const limitByTier = limitBy([tierRule])
    app.addHook('onRoute', route => {
      const { limits = ['tier'] } = route.config ?? {}
      if (limits === 'none') {
        route.onRequest = [limitRefused, ...listOf(route.onRequest)]
        return
      }
      const rules = limits.filter(limit => !isByBody(limit)).map(ruleOf)
      if (rules.length > 0) route.onRequest = [limitBy(rules), ...listOf(route.onRequest)]
    })

    /** Or credentials could be guessed there without end. */
    function limitRefused(request: FastifyRequest, reply: FastifyReply, done: Done) {
      if (request.refusal === null) done()
      else limitByTier(request, reply, done)
    }

    function ruleOf(limit: RouteLimit): Rule {
      if (limit === 'tier') return tierRule
      const policies = policiesOf(limit.name, limit.rates)
      return { policies: () => policies, subject: subjectBy('byBody' in limit ? limit.byBody : limit.by) }
    }

    function limitBy(rules: readonly Rule[]): Hook {
      return (request, reply, done) => {
        // Asked here, because a library's routes learn only later that they are.
        if (request.routeOptions.config.operational) return done()
        const caller = callerOf(request)
        const policies = policiesIn(rules, caller)
        const counted = counters.take(countersOf(rules, request, caller))
        if (counted instanceof Promise) counted.then(settle).catch(done)
        else settle(counted)

        function settle({ refused, counts }: Counted) {
          addField(reply, 'ratelimit-policy', policyFieldOf(policies))
          addField(reply, 'ratelimit', limitField(policies, counts))
          done(refused ? refusal(policies, counts) : undefined)
        }
      }
    }

    function refusal(policies: readonly Policy[], counts: Counted['counts']) {
      const spent = policies.flatMap((policy, index) => {
        const count = counts[index]
        return count !== undefined && leftOf(policy.quota, count) === 0 ? [{ policy, count }] : []
      })
      for (const { policy } of spent) refusals.inc({ policy: policy.name })
      const wait = Math.max(...spent.map(({ count }) => secondsUntil(count)))
      const detail = spent.map(({ policy }) => inWords(policy)).join(' ')
      return new RateLimited(detail, { headers: { 'retry-after': String(wait) } })
    }

    function callerOf(request: FastifyRequest): Caller {
      const { user } = request
      return user === null ? strangerOf(request) : knownAs(user)
    }

    /** Many share an address whose tokens expire each hour: they must go on hearing 401, or none of them would renew it. */
    function strangerOf(request: FastifyRequest): Caller {
      // Where nobody is refused for his token, it is worth nothing.
      const session = request.refusal === null ? undefined : formerHolder(request)
      return session === undefined
        ? someoneAt(request)
        : { tier: 'standard', counted_by: 'session', id: session }
    }
  },
  { name: 'rate-limits', dependencies: ['metrics'] },
)

/**
 * Has to be registered after whatever may not be done for who is refused: what is registered last comes first on a route.
 */
export const limitsByBody = fp(
  async app => {
    app.addHook('onRoute', route => {
      const { limits = [] } = route.config ?? {}
      const hook = limits === 'none' ? undefined : app.rateLimits.hookByBody(limits)
      if (hook !== undefined) route.preHandler = [hook, ...listOf(route.preHandler)]
    })
  },
  { name: 'limits-by-body', dependencies: ['rate-limits', 'idempotency'] },
)

const isByBody = (limit: RouteLimit) => limit !== 'tier' && 'byBody' in limit

/** The list of a single rule is always the same one, and so is its field. */
const policiesIn = (rules: readonly Rule[], caller: Caller): readonly Policy[] =>
  rules.length === 1 ? (rules[0] as Rule).policies(caller) : rules.flatMap(rule => rule.policies(caller))

const policyFieldOf = memoized(policyField)

function countersOf(rules: readonly Rule[], request: FastifyRequest, caller: Caller): Counter[] {
  return rules.flatMap(rule => {
    const subject = rule.subject(request, caller)
    return rule.policies(caller).map(({ counted_as, quota, seconds }) => ({
      key: `${counted_as}:${subject}`,
      quota,
      seconds,
    }))
  })
}

function subjectBy(by: CountedBy): Rule['subject'] {
  if (by === 'caller') return (_request, caller) => subjectOf(caller)
  if (by === 'address') return addressSubject
  return request => by(request) ?? addressSubject(request)
}

const addressSubject = (request: FastifyRequest) => subjectOf(someoneAt(request))

/** A route may count twice: before its body is there, and after. */
function addField(reply: FastifyReply, name: string, value: string) {
  const before = reply.getHeader(name)
  reply.header(name, before === undefined ? value : `${before}, ${value}`)
}

const inWords = ({ name, quota, seconds }: Policy) =>
  `The limit ${name}, ${quota} in ${seconds === 1 ? 'a second' : `${seconds} seconds`}, is used up.`
