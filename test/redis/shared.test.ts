import { Registry } from 'prom-client'
import { type Test, test } from 'tap'
import { createSharedRedis } from '../../src/redis/shared.ts'
import { recordingLogger } from '../helper.ts'
import { ownRedis, withoutRedis } from '../redis-server.ts'

async function share(t: Test) {
  const server = await ownRedis(t)
  const metrics = new Registry()
  const log = recordingLogger()
  const redis = server.connect()
  const shared = createSharedRedis(redis, log.logger, metrics)
  t.teardown(() => shared.end())
  const told = () => log.lines().map(({ level, msg }) => `${level} ${msg}`)
  const metric = async (name: string) => (await metrics.getSingleMetric(name)?.get())?.values[0]?.value
  await until(() => shared.isThere)
  return { server, redis, shared, told, metric, ping: () => shared.ask(client => client.ping()) }
}

/** Looks with every turn of the event loop. */
async function until(holds: () => boolean | Promise<boolean>) {
  while (!(await holds())) await new Promise(resolve => setImmediate(resolve))
}

const AWAY = '40 Redis is away or slow: each process has limits and caches of its own'
const BACK = '30 Redis is back: limits and caches are shared again'

test('a frozen Redis is left alone until it answers again', { skip: withoutRedis }, async t => {
  const { server, shared, told, metric, ping } = await share(t)
  t.equal(await ping(), 'PONG')
  t.strictSame(told(), [], 'that it connects is no news')
  t.equal(await metric('plinth_redis_up'), 1)
  server.freeze()
  const begun = performance.now()
  const answers = await Promise.allSettled([ping(), ping(), ping()])
  for (const { reason } of answers as PromiseRejectedResult[]) t.match(reason.message, 'within 50 ms')
  const waited = performance.now() - begun
  t.ok(waited >= 49, `${waited} ms`)
  t.equal(shared.isThere, false)
  await t.rejects(ping(), /away/, 'it is not asked any more')
  t.strictSame(told(), [AWAY], 'told once')
  t.equal(await metric('plinth_redis_up'), 0)
  t.equal(await metric('plinth_redis_losses_total'), 1)
  server.resume()
  await until(() => shared.isThere)
  t.equal(await ping(), 'PONG')
  t.strictSame(told(), [AWAY, BACK])
  t.equal(await metric('plinth_redis_up'), 1)
})

test('a Redis that was killed is back when it is started again', { skip: withoutRedis }, async t => {
  const { server, shared, told, metric, ping } = await share(t)
  await server.kill()
  await until(() => !shared.isThere)
  await t.rejects(ping())
  await server.startAgain()
  await until(() => shared.isThere)
  t.equal(await ping(), 'PONG')
  t.strictSame(told(), [AWAY, BACK])
  t.equal(await metric('plinth_redis_losses_total'), 1)
})

test('an event loop that was busy is not taken for a slow Redis', { skip: withoutRedis }, async t => {
  const { shared, told, ping } = await share(t)
  const answer = ping()
  const busyUntil = performance.now() + 200
  while (performance.now() < busyUntil);
  t.equal(await answer, 'PONG')
  t.equal(shared.isThere, true)
  t.strictSame(told(), [])
})

test('an answer that is late now and then is not yet an absence', { skip: withoutRedis }, async t => {
  const { server, shared, told, ping } = await share(t)
  for (let turn = 0; turn < 3; turn++) {
    server.freeze()
    const answers = await Promise.allSettled([ping(), ping()])
    server.resume()
    t.ok(answers.every(({ status }) => status === 'rejected'))
    t.equal(shared.isThere, true)
    // Those that were late are answered first.
    await Promise.any(Array.from({ length: 2 }, ping))
  }
  t.strictSame(told(), [])
})

test('one that answers, but takes no writes, is away until it does', { skip: withoutRedis }, async t => {
  const { server, redis, shared, told } = await share(t)
  const operator = server.connect()
  await new Promise(resolve => operator.once('ready', resolve))
  await operator.config('SET', 'min-replicas-to-write', '1')
  const write = () => shared.ask(client => client.set('x', 1))
  await t.rejects(write(), /NOREPLICAS/)
  t.equal(shared.isThere, false)
  const looks = async () =>
    Number(/cmdstat_set:.*rejected_calls=(\d+)/.exec(await operator.info('commandstats'))?.[1])
  await until(async () => (await looks()) >= 2)
  t.equal(await redis.ping(), 'PONG')
  t.equal(shared.isThere, false)
  t.strictSame(told(), [AWAY])
  await operator.config('SET', 'min-replicas-to-write', '0')
  await until(() => shared.isThere)
  t.equal(await write(), 'OK')
  t.strictSame(told(), [AWAY, BACK])
})
