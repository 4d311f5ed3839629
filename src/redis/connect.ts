import { Redis } from 'ioredis'
import type { Config } from '../config.ts'

const CONNECT_TIMEOUT_MS = 2_000
const LONGEST_RECONNECT_DELAY_MS = 2_000

/** A connection that is asked and says nothing for so long may be dead, although nobody was told: another one is tried. */
const SILENCE_MS = 5_000

/** The connection to Redis, or undefined without `REDIS_URL`. Commands fail at once while it is away; it returns by itself. */
export function connectRedis({ REDIS_URL }: Config): Redis | undefined {
  if (REDIS_URL === undefined) return undefined
  const redis = new Redis(REDIS_URL, {
    connectionName: 'plinth',
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: attempt => Math.min(attempt * 100, LONGEST_RECONNECT_DELAY_MS),
  })
  // Without a listener the process would end; what matters shows in the commands and in readiness.
  redis.on('error', () => {})
  return redis
}
