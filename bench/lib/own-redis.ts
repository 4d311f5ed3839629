import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import { openConnection } from './connection.ts'
import { freePort } from './http.ts'
import { atExit } from './limits.ts'
import { temporaryDirectory } from './service.ts'
import { until } from './wait.ts'

/** A Redis server that belongs to the bench alone, so that it may be taken away. It keeps nothing on disk. */
export type OwnRedis = Awaited<ReturnType<typeof ownRedis>>

export async function ownRedis() {
  const port = await freePort()
  let child: ChildProcess | undefined
  atExit(() => child?.kill('SIGKILL'))

  async function start() {
    const given = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    child = spawn('redis-server', given, { stdio: 'ignore', cwd: temporaryDirectory() })
    child.on('error', error => {
      console.error(`Skipped: no Redis server here (${error.message}).`)
      process.exit(0)
    })
    await until('Redis', async () => (await answers(port)) || undefined, { everyMs: 20 })
  }

  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    /** Waits until it answers. What it knew before is gone. */
    start,
    async kill() {
      if (child === undefined) return
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    },
    /** Its connections stay open, and nothing answers. */
    freeze: () => child?.kill('SIGSTOP'),
    thaw: () => child?.kill('SIGCONT'),
    /** A connection of the bench's own. */
    connect: () => new Redis(port, '127.0.0.1'),
  }
}

async function answers(port: number): Promise<boolean> {
  const redis = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => null })
  redis.on('error', () => {})
  try {
    await redis.connect()
    return (await redis.ping()) === 'PONG'
  } catch {
    return false
  } finally {
    redis.disconnect()
  }
}

/** Until a process is connected to its Redis. */
export async function untilShared(port: number) {
  const connection = openConnection(port)
  await until('Redis', async () => {
    const { body } = await connection.ask({ path: '/health/ready' })
    return JSON.parse(body).checks.redis?.status === 'ok' || undefined
  })
  connection.close()
}
