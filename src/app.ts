import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { type Accounts, createAccounts } from './accounts/accounts.ts'
import { API_KEY_PREFIX } from './accounts/api-key-format.ts'
import { jobs } from './background.ts'
import type { Config } from './config.ts'
import type { Database } from './db/types.ts'
import type { Domain } from './domains/domain.ts'
import * as domains from './domains/index.ts'
import type { Job } from './jobs/job.ts'
import { kept } from './kept.ts'
import type { Lifecycle } from './lib/lifecycle.ts'
import { createOutbound, type Outbound, type OutboundOptions } from './lib/outbound.ts'
import './lib/problem-schema.ts'
import { allComponents } from './lib/schema.ts'
import { createVault } from './lib/vault.ts'
import { secretsOf } from './lib/vault-keys.ts'
import { createMailer } from './mail/mailer.ts'
import access, { credentialOf } from './plugins/access.ts'
import accessToken, { type AccessTokens } from './plugins/access-token.ts'
import cache from './plugins/cache.ts'
import { createCompilers } from './plugins/compilers.ts'
import compression from './plugins/compression.ts'
import cors from './plugins/cors.ts'
import etags from './plugins/etags.ts'
import idempotency from './plugins/idempotency.ts'
import input from './plugins/input.ts'
import lifecycleGate from './plugins/lifecycle.ts'
import loadShedding from './plugins/load-shedding.ts'
import mail from './plugins/mail.ts'
import metrics from './plugins/metrics.ts'
import openapi from './plugins/openapi.ts'
import preconditions from './plugins/preconditions.ts'
import { answerFrameworkError, answerWithProblems } from './plugins/problems.ts'
import rateLimits, { limitsByBody } from './plugins/rate-limits.ts'
import { requestId } from './plugins/request-id.ts'
import { RequestLog } from './plugins/request-log.ts'
import requestMetrics from './plugins/request-metrics.ts'
import routeRules from './plugins/route-rules.ts'
import securityHeaders from './plugins/security-headers.ts'
import unknownRoutes from './plugins/unknown-routes.ts'
import uploads from './plugins/uploads.ts'
import { answerClientError, answerOnTheWire } from './plugins/wire-problems.ts'
import { createSharedRedis, type SharedRedis } from './redis/shared.ts'

declare module 'fastify' {
  interface FastifyInstance {
    database: Database
    redis: Redis | undefined
    /** Redis, as far as it is there: see `redis/shared.ts`. */
    sharedRedis: SharedRedis | undefined
    accounts: Accounts
    /** For addresses that callers choose. */
    outbound: Outbound
    /** Every kind of job there is. */
    jobs: readonly Job[]
  }
  interface FastifyRequest {
    /** As on the app, for a handler that changes something: see `request.db`. */
    readonly accounts: Accounts
  }
}

/** What the service leans on; whoever makes it ends it. */
export interface Resources {
  database: Database
  redis?: Redis | undefined
  logger: Logger
  lifecycle?: Lifecycle
  /** The share of the heap in use, where it is not this process's own that counts. */
  heap?: (() => number) | undefined
  /** Looks up the names of hosts, where it is not the system that does. */
  resolve?: OutboundOptions['resolve']
}

export type App = FastifyInstance

/** So much that a token that was blown up is still told that it is none, instead of that it is too long. */
const MAX_HEADER_BYTES = 128 * 1024
const MAX_PARAM_LENGTH = 500
const BODY_LIMIT = 1024 * 1024

/** A sender who needs longer than this for the headers alone is holding a place, not sending. */
const HEADERS_TIMEOUT_MS = 10_000

/** Longer than the idle limit of common load balancers (60 s), so that it is they who close a connection first. */
const KEEP_ALIVE_TIMEOUT_MS = 72_000

/** The service as an object that never listens: the server, the tests and the command line share it. */
export async function buildApp(config: Config, resources: Resources): Promise<App> {
  const { database, redis, logger, lifecycle = { phase: 'serving' }, heap, resolve } = resources
  const compilers = createCompilers()
  const app = fastify({
    loggerInstance: logger as FastifyBaseLogger,
    logController: new RequestLog(),
    genReqId: requestId,
    trustProxy: trustedProxies(config.TRUST_PROXY),
    bodyLimit: BODY_LIMIT,
    requestTimeout: config.REQUEST_TIMEOUT_SECONDS * 1000,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, config.REQUEST_TIMEOUT_SECONDS * 1000),
      // How often Node looks for requests that overran their time; its own default is half a minute.
      connectionsCheckingInterval: 1_000,
      // Node would answer a request without Host with an empty body; ours is a problem like any other.
      requireHostHeader: false,
    },
    // While draining we go on serving, with `Connection: close`; a 503 would be a request dropped.
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError,
    schemaController: { compilersFactory: compilers.compilersFactory },
  }).withTypeProvider<TypeBoxTypeProvider>()

  answerWithProblems(app)
  answerOnTheWire(app)
  app.decorate('database', database)
  await app.register(metrics)
  await app.register(requestMetrics)
  app.decorate('redis', redis)
  const sharedRedis = redis && createSharedRedis(redis, logger, app.metrics)
  app.decorate('sharedRedis', sharedRedis)
  app.addHook('onClose', async () => sharedRedis?.end())
  app.decorate('jobs', jobs)
  const mailer = createMailer(config)
  const accounts = createAccounts(config, database, mailer)
  app.decorate('accounts', accounts)
  app.decorateRequest('accounts', {
    getter() {
      const { db } = this
      return db === database.db ? accounts : { ...accounts, database: { ...database, db } }
    },
  })
  app.addHook('onClose', () => accounts.principals.end())
  const outbound = createOutbound({
    allow_private: config.WEBHOOK_ALLOW_PRIVATE,
    ...(resolve !== undefined && { resolve }),
  })
  app.decorate('outbound', outbound)
  app.addHook('onClose', async () => outbound.close())
  for (const schema of allComponents()) app.addSchema(schema)

  await app.register(securityHeaders)
  await app.register(unknownRoutes, { maxParamLength: MAX_PARAM_LENGTH })
  await app.register(routeRules)
  // Before anything that refuses, so that a page of an allowed origin can read why.
  await app.register(cors, { origins: config.CORS_ORIGINS })
  await app.register(input)
  await app.register(uploads)
  await app.register(lifecycleGate, { lifecycle })
  await app.register(loadShedding, { config, ...(heap && { heap }) })
  await app.register(accessToken, { config })
  // Before access, between whose halves it has its place: who calls is known, and not yet refused.
  await app.register(rateLimits, { config, redis: sharedRedis, formerHolder: formerHolder(app.accessTokens) })
  await app.register(access, {
    authenticate: authenticator(app.accessTokens, accounts),
    requireVerifiedEmail: config.REQUIRE_VERIFIED_EMAIL,
  })
  await app.register(mail, { mailer })
  await app.register(idempotency, { vault: createVault(secretsOf(config), 'idempotency') })
  await app.register(limitsByBody)
  await app.register(preconditions, { required: config.REQUIRE_IF_MATCH })
  await app.register(etags)
  await app.register(cache, { kept, redis: sharedRedis })
  await app.register(compression)
  const all = Object.values<Domain>(domains)
  await app.register(openapi, {
    tags: all.map(({ tag }) => tag),
    messages: Object.assign({}, ...all.map(({ messages }) => messages)),
  })

  app.addHook('onListen', compilers.compileAll)
  for (const { routes, prefix } of all) await app.register(routes, { prefix })

  return app
}

/** Whom an access token, or an API key, stands for. */
const authenticator =
  (accessTokens: AccessTokens, { principals }: Accounts) =>
  (credential: string) => {
    if (credential.startsWith(API_KEY_PREFIX)) return principals.ofApiKey(credential)
    const claims = accessTokens.read(credential)
    return claims && principals.ofSession(claims.sid)
  }

/** Whose access token that was. */
const formerHolder =
  ({ sessionOf }: AccessTokens) =>
  (request: FastifyRequest) => {
    const credential = credentialOf(request)
    return credential === undefined || credential.startsWith(API_KEY_PREFIX)
      ? undefined
      : sessionOf(credential)
  }

function trustedProxies(proxies: Config['TRUST_PROXY']) {
  if (typeof proxies === 'number') return (_address: string, hop: number) => hop < proxies
  return proxies && [...proxies]
}
