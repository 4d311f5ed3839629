import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import type { Config } from '../src/config.ts'
import { connectRedis } from '../src/redis/connect.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** For tests that need a Redis: why they are skipped where the suite has none. */
export const withoutRedis = process.env.TEST_REDIS_URL === undefined && 'TEST_REDIS_URL is not set'

/** A real Redis that only this test has, so that it may be frozen and killed. */
export async function ownRedis(t: Test) {
  const socket = join(temporaryDirectory(t), 'redis.sock')
  let server = await start(socket)
  t.teardown(() => end(server))

  return {
    /** A connection as the service has it. */
    connect(): Redis {
      const redis = connectRedis({ REDIS_URL: socket } as Config) as Redis
      t.teardown(() => redis.disconnect())
      return redis
    },
    freeze: () => server.kill('SIGSTOP'),
    resume: () => server.kill('SIGCONT'),
    kill: () => end(server),
    async startAgain() {
      server = await start(socket)
    },
  }
}

async function start(socket: string): Promise<ChildProcess> {
  const server = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', ''], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface({ input: server.stdout })) {
    if (/ready to accept connections/i.test(line)) break
  }
  // What it has to say after that would fill the pipe.
  server.stdout.resume()
  return server
}

async function end(server: ChildProcess) {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exit = once(server, 'exit')
  server.kill('SIGKILL')
  await exit
}
