import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type SQL, sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { connectPostgres } from '../../src/db/postgres.ts'
import { packageVersion } from '../../src/lib/package.ts'
import { connectRedis } from '../../src/redis/connect.ts'
import { testDatabase } from '../database.ts'
import { build, testConfig } from '../helper.ts'

test('health tells version and uptime, and nothing else', async t => {
  const app = await build(t)
  const response = await app.inject('/health')
  t.equal(response.statusCode, 200)
  t.equal(response.headers['cache-control'], 'no-store')
  const { uptime_seconds, ...rest } = response.json()
  t.strictSame(rest, { status: 'healthy', version: packageVersion })
  t.type(uptime_seconds, 'number')
})

test('liveness touches nothing', async t => {
  const app = await build(t, { database: serverAt(t, 1) })
  const response = await app.inject('/health/live')
  t.equal(response.statusCode, 200)
  t.strictSame(response.json(), { status: 'alive' })
})

test('readiness measures the database', async t => {
  const app = await build(t)
  const response = await app.inject('/health/ready')
  t.equal(response.statusCode, 200)
  const { checks, ...rest } = response.json()
  t.strictSame(rest, { status: 'ready', phase: 'serving', database: 'connected' })
  t.strictSame(Object.keys(checks), ['database', 'migrations', 'load'])
  t.strictSame(checks.load, { status: 'ok', latency_ms: 0, required: true })
  t.equal(checks.database.status, 'ok')
  t.ok(checks.database.latency_ms >= 0)
})

test('readiness is 503 while the database is away', async t => {
  const app = await build(t, { database: serverAt(t, 1) })
  const response = await app.inject('/health/ready')
  t.equal(response.statusCode, 503)
  t.ok(Number(response.headers['retry-after']) > 0)
  const { status, database, checks } = response.json()
  t.equal(status, 'not ready')
  t.equal(database, 'disconnected')
  t.equal(checks.database.status, 'failed')
})

test('readiness is 503 when the database never answers', async t => {
  // Takes connections and says nothing, as a frozen server does.
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const app = await build(t, { database: serverAt(t, (silent.address() as AddressInfo).port) })
  const started = performance.now()
  const response = await app.inject('/health/ready')
  t.equal(response.statusCode, 503)
  t.ok(performance.now() - started < 2000, 'within two seconds')
})

test('readiness is 503 with migrations missing', async t => {
  const database = await testDatabase()
  const app = await build(t, { database })
  await database.db.execute(sql`update drizzle.__drizzle_migrations set created_at = -created_at`)
  t.teardown(() => database.db.execute(sql`update drizzle.__drizzle_migrations set created_at = -created_at`))
  const response = await app.inject('/health/ready')
  t.equal(response.statusCode, 503)
  t.equal(response.json().database, 'connected')
  t.equal(response.json().checks.migrations.status, 'failed')
})

test('readiness follows the phase at once, and many askers cost one measurement', async t => {
  const database = await testDatabase()
  let asked = 0
  const counted = Object.assign(Object.create(database.db), {
    execute: (query: SQL) => {
      asked++
      return database.db.execute(query)
    },
  })
  const app = await build(t, { database: { ...database, db: counted } })
  const answers = await Promise.all(Array.from({ length: 20 }, () => app.inject('/health/ready')))
  t.ok(answers.every(answer => answer.statusCode === 200))
  t.equal(asked, 2, 'for the migrations and for the queues')

  for (const phase of ['starting', 'migrating', 'draining'] as const) {
    app.lifecycle.phase = phase
    const response = await app.inject('/health/ready')
    t.equal(response.statusCode, 503, phase)
    t.equal(response.json().phase, phase)
    t.equal(response.json().database, 'connected')
  }
})

test('readiness is 503 while an overload lasts', async t => {
  const app = await build(t)
  app.loadShedding = { isLasting: () => true, waitMs: () => 12.345 }
  const response = await app.inject('/health/ready')
  t.equal(response.statusCode, 503)
  t.ok(Number(response.headers['retry-after']) > 0)
  t.strictSame(response.json().checks.load, { status: 'failed', latency_ms: 12.35, required: true })
  t.equal(response.json().database, 'connected')
  t.equal((await app.inject('/health')).statusCode, 200)
  t.equal((await app.inject('/health/live')).statusCode, 200)
})

test('Redis is told of, and the service is ready without it', async t => {
  const redis = connectRedis(testConfig({ REDIS_URL: 'redis://127.0.0.1:1' }))
  t.teardown(() => redis?.disconnect())
  const app = await build(t, { redis })
  const response = await app.inject('/health/ready')
  t.equal(response.statusCode, 200)
  t.match(response.json().checks.redis, { status: 'failed', required: false })
})

/** A server that is not there, or not as it should be. */
function serverAt(t: Test, port: number) {
  const database = connectPostgres(`postgres://nobody@127.0.0.1:${port}/none`, testConfig())
  t.teardown(() => database.close())
  return database
}
