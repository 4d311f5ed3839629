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
  return { server, shared, told, metric, ping: () => shared.ask(client => client.ping()) }
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
  await t.rejects(Promise.all([ping(), ping(), ping()]), /within 50 ms/)
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
  const until = performance.now() + 200
  while (performance.now() < until);
  t.equal(await answer, 'PONG')
  t.equal(shared.isThere, true)
  t.strictSame(told(), [])
import { EventEmitter, once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { type Test, test } from 'tap'
import { connectRedis } from '../../src/redis/connect.ts'
import { createSharedRedis } from '../../src/redis/shared.ts'
import { recordingLogger, testConfig } from '../helper.ts'

/** Answers every command, or none. */
async function fakeServer(t: Test) {
  const sockets: Socket[] = []
  const silent = new WeakSet<Socket>()
  const server = createServer(socket => {
    sockets.push(socket)
    socket
      .on('error', () => {})
      .on('data', chunk => {
        if (silent.has(socket)) return
        // Each command is an array whose first string is its name.
        for (const [, name = ''] of String(chunk).matchAll(/\*\d+\r\n\$\d+\r\n(\w+)\r\n/g)) {
          const info = 'redis_version:7.0.0\r\nloading:0\r\n'
          socket.write(name.toLowerCase() === 'info' ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
        }
      })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => sockets.length,
    /** Takes what comes on the connections that there are, and never answers it. */
    silence() {
      for (const socket of sockets) silent.add(socket)
    },
  }
}

function share(t: Test, redis: Redis) {
  const log = recordingLogger('info')
  const shared = createSharedRedis(redis, log.logger, new Registry())
  t.teardown(() => shared.end())
  return { shared, messages: () => log.lines().map(({ msg }) => msg.slice(0, 13)) }
}

async function until(holds: () => boolean) {
  for (let time = 0; time < 1_200 && !holds(); time++) await sleep(10)
}

test('a connection that says nothing any more, and of whose end nobody is told, is replaced', async t => {
  const server = await fakeServer(t)
  const redis = connectRedis(testConfig({ REDIS_URL: server.url })) as Redis
  t.teardown(() => redis.disconnect())
  const { shared, messages } = share(t, redis)
  await until(() => shared.isThere)
  t.equal(server.connections(), 1)

  server.silence()
  await t.rejects(
    shared.ask(client => client.get('x')),
    /No answer within 50 ms/,
  )
  t.equal(shared.isThere, false)
  await until(() => shared.isThere)
  t.equal(shared.isThere, true, 'by another connection')
  t.equal(server.connections(), 2)
  t.strictSame(messages(), ['Redis is away', 'Redis is back'])
})

test('a Redis that answers, but takes no writes, is away and not back each second', async t => {
  let writes = true
  const refused = new Error('NOREPLICAS Not enough good replicas to write.')
  const redis = Object.assign(new EventEmitter(), {
    status: 'ready',
    ping: async () => 'PONG',
    set: async () => {
      if (!writes) throw refused
    },
  }) as unknown as Redis
  const { shared, messages } = share(t, redis)
  t.equal(shared.isThere, true)

  writes = false
  await t.rejects(
    shared.ask(client => client.set('x', 1)),
    refused,
  )
  await sleep(1_500)
  t.equal(shared.isThere, false)
  t.strictSame(messages(), ['Redis is away'])

  writes = true
  await until(() => shared.isThere)
  t.strictSame(messages(), ['Redis is away', 'Redis is back'])
})
