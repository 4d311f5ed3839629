import { Session } from 'node:inspector/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Type } from '@sinclair/typebox'
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { connect } from '../../src/db/connect.ts'
import { findItem } from '../../src/domains/items/queries.ts'
import { createLogger } from '../../src/lib/log.ts'
import cors from '../../src/plugins/cors.ts'
import input from '../../src/plugins/input.ts'
import lifecycle from '../../src/plugins/lifecycle.ts'
import metrics from '../../src/plugins/metrics.ts'
import rateLimits from '../../src/plugins/rate-limits.ts'
import { requestId } from '../../src/plugins/request-id.ts'
import { RequestLog } from '../../src/plugins/request-log.ts'
import securityHeaders from '../../src/plugins/security-headers.ts'
import unknownRoutes from '../../src/plugins/unknown-routes.ts'
import { prepareDatabase } from '../../src/prepare.ts'
import { connectRedis } from '../../src/redis/connect.ts'

// A server that plugin-overhead.ts and shared-limit.ts measure: the whole service with a route that does nothing, or a
// plain Fastify with the same routes and some of our plugins. It is told which by its argument.

const [base, ...additions] = (process.argv[2] ?? '').split('+')
const config = loadConfig()
const logger = await createLogger(config.LOG_LEVEL)
const database = await connect(config)
if (config.DATABASE_URL === undefined) throw new Error('A bench of ours has a database.')

const tags = ['bench']
const response = { 200: Type.Object({ answer: Type.Integer() }, { description: 'Nothing was done.' }) }
const trivial = () => ({ answer: 42 })

const live = { 200: Type.Object({ status: Type.Literal('alive') }) }
const idParameters = Type.Object({ id: Type.String({ format: 'uuid' }) })
const text = Type.String()
const item = {
  200: Type.Object({
    ...{
      id: text,
      user_id: text,
      title: text,
      description: Type.Union([text, Type.Null()]),
      status: text,
      price: text,
    },
    metadata: Type.Record(Type.String(), Type.Unknown()),
    ...{ version: Type.Integer(), created_at: text, updated_at: text },
  }),
}

type Addition = (app: FastifyInstance) => unknown

/** What can be added to a plain Fastify by itself. */
const plugins: Record<string, Addition> = {
  'security-headers': app => app.register(securityHeaders),
  'unknown-routes': app => app.register(unknownRoutes, { maxParamLength: 500 }),
  cors: app => app.register(cors, { origins: config.CORS_ORIGINS }),
  input: app => app.register(input),
  lifecycle: app => app.register(lifecycle, { lifecycle: { phase: 'serving' } }),
  async limits(app) {
    app.decorateRequest('user', null as never)
    await app.register(metrics)
    await app.register(rateLimits, { config, redis: undefined, formerHolder: () => undefined })
  },
  /** Another one's, from where it was installed by hand. */
  async 'fastify-rate-limit'(app) {
    const path = join(process.env.BENCH_RATE_LIMIT ?? '', 'index.js')
    const { default: plugin } = await import(pathToFileURL(path).href)
    await app.register(plugin, {
      max: 999_999_999,
      timeWindow: '1 hour',
      enableDraftSpec: true,
    })
  },
  /** A hook that does nothing: what each of ours costs at least. */
  hook: app =>
    app.register(
      fp(async scope => {
        scope.addHook('onRequest', (_request, _reply, done) => done())
      }),
    ),
}

const app = base === 'plinth' ? await plinth() : await bare()
await app.listen({ host: '127.0.0.1', port: 0 })
process.once('SIGTERM', () => process.exit(0))
process.once('message', profileFromNowOn)
process.send?.((app.server.address() as AddressInfo).port)

async function plinth(): Promise<FastifyInstance> {
  await prepareDatabase(database)
  const redis = connectRedis(config)
  const app = await buildApp(config, { database, redis, logger })
  app.get(
    '/api/v1/bench-trivial',
    {
      config: { access: { scope: 'items:read' } },
      schema: { operationId: 'benchTrivial', summary: 'Do nothing', tags, response },
    },
    trivial,
  )
  app.get(
    '/api/v1/bench-public',
    {
      config: { access: 'public' },
      schema: { operationId: 'benchPublic', summary: 'Do nothing for anybody', tags, response },
    },
    trivial,
  )
  if (redis !== undefined && redis.status !== 'ready') {
    await new Promise<void>(resolve => redis.once('ready', () => resolve()))
  }
  return app as unknown as FastifyInstance
}

/** The same handlers and schemas, and nothing around them but what is asked for. */
async function bare(): Promise<FastifyInstance> {
  const app = fastify({
    ...(additions.includes('log') && {
      loggerInstance: logger as FastifyBaseLogger,
      logController: new RequestLog(),
      genReqId: requestId,
    }),
    ...(additions.includes('fastify-log') && { logger: { level: 'info' } }),
  }) as unknown as FastifyInstance
  for (const name of additions) await plugins[name]?.(app)

  const schema = { operationId: 'x', summary: 'x', tags, response }
  const routeConfig = { access: 'public' } as const
  app.get('/health/live', { config: routeConfig, schema: { ...schema, response: live } }, () => ({
    status: 'alive',
  }))
  app.get('/api/v1/bench-trivial', { config: routeConfig, schema }, trivial)
  app.get(
    '/api/v1/items/:id',
    { config: routeConfig, schema: { ...schema, params: idParameters, response: item } },
    request => findItem(database.db, (request.params as { id: string }).id, process.env.BENCH_OWNER ?? null),
  )
  return app
}

/** Until it is told for the second time. */
async function profileFromNowOn() {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: 200 })
  await session.post('Profiler.start')
  process.once('message', async () => {
    const { profile } = await session.post('Profiler.stop')
    process.send?.(profile)
  })
  process.send?.('profiling')
}
