import type { SharedRedis } from '../redis/shared.ts'
import type { Counted, Counter, Counters } from './counters.ts'
import { createMemoryCounters } from './memory-counters.ts'
import { countInRedis } from './redis-counters.ts'

/**
 * In Redis as long as it is there, and in memory otherwise, where counting goes on from what Redis said last: an outage
 * gives nobody a new quota. What is counted in memory meanwhile is not added when Redis is back.
 */
export function createSharedCounters(
  redis: SharedRedis,
  namespace: () => string | Promise<string>,
  memory = createMemoryCounters(),
): Counters {
  return {
    take: counters => (redis.isThere ? count(counters, 1) : memory.take(counters)),
    look: counters => (redis.isThere ? count(counters, 0) : memory.look(counters)),
  }

  async function count(counters: readonly Counter[], by: 0 | 1): Promise<Counted> {
    try {
      const names = await namespace()
      const counted = await redis.ask(client => countInRedis(client, names, counters, by))
      memory.adopt(counters, counted.counts)
      return counted
    } catch {
      return by === 1 ? memory.take(counters) : memory.look(counters)
    }
  }
}
