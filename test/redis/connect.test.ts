import { once } from 'node:events'
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

async function until(holds: () => boolean) {
  while (!holds()) await sleep(10)
}

test('a connection that says nothing any more, and of whose end nobody is told, is replaced', async t => {
  const server = await fakeServer(t)
  const redis = connectRedis(testConfig({ REDIS_URL: server.url })) as Redis
  t.teardown(() => redis.disconnect())
  const shared = createSharedRedis(redis, recordingLogger().logger, new Registry())
  t.teardown(() => shared.end())
  await until(() => shared.isThere)
  t.equal(server.connections(), 1)

  const { socketTimeout } = redis.options
  t.equal(socketTimeout, 5_000)
  redis.options.socketTimeout = 200
  // The next one is not lost if we are busy for a moment.
  redis.once('close', () => Object.assign(redis.options, { socketTimeout }))
  server.silence()
  await Promise.allSettled([1, 2, 3].map(() => shared.ask(client => client.get('x'))))
  t.equal(shared.isThere, false)
  await until(() => shared.isThere)
  t.equal(shared.isThere, true, 'by another connection')
  t.equal(server.connections(), 2)
})
