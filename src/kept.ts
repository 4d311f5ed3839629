import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { tellChanges } from './cache/cache.ts'
import type { Kept } from './cache/kind.ts'
import type { Config } from './config.ts'
import type { Database } from './db/types.ts'
import { itemStats } from './domains/items/kept.ts'
import { publicPosts } from './domains/posts/kept.ts'
import { connectRedis } from './redis/connect.ts'
import { createSharedRedis } from './redis/shared.ts'

/** Everything that is kept. Also processes that only change things have to know, to tell those that keep them. */
export const kept: readonly Kept[] = [itemStats, publicPosts]

/**
 * For a process that changes things and answers nobody, as workers and commands are: tells those that keep them. Without
 * Redis, the database does, as far as it matters.
 */
export function tellKeepers(config: Config, database: Database, logger: Logger): { end(): Promise<void> } {
  const redis = connectRedis(config)
  if (redis === undefined) return { async end() {} }
  const shared = createSharedRedis(redis, logger, new Registry())
  const telling = tellChanges(database, shared, kept)
  return {
    async end() {
      await telling.end()
      shared.end()
      redis.disconnect()
    },
  }
}
