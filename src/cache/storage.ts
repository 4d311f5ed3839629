import { createStorage, type StorageInterface, type StorageRedisOptions } from 'async-cache-dedupe'
import type { Namespace } from '../db/namespace.ts'
import { packageVersion } from '../lib/package.ts'
import type { SharedRedis } from '../redis/shared.ts'
import type { Kept } from './kind.ts'

type Size = Pick<Kept, 'most_entries' | 'ttl_seconds' | 'isWhole'>

/** What is kept in the memory of this process. */
export const storageInMemory = ({ most_entries }: Pick<Size, 'most_entries'>): StorageInterface =>
  createStorage('memory', { size: most_entries })

/**
 * In memory, and behind that in Redis, so that of several processes one asks the database. What Redis tells is kept in
 * memory as well: a generation was asked for in any case, so what is found under it is as good here as there.
 */
export function sharedStorage(size: Size, redis: SharedRedis, namespace: Namespace): StorageInterface {
  const near = storageInMemory(size)
  const far = createStorage('redis', { client: patientClient(redis, namespace) })

  return {
    async get(key) {
      const known = await near.get(key)
      if (known !== undefined) return known
      const shared = await far.get(key)
      if (!size.isWhole(shared)) return undefined
      await near.set(key, shared, size.ttl_seconds)
      return shared
    },
    async set(key, value, ttl) {
      await near.set(key, value, ttl)
      // Nobody has to wait until others have it, too.
      far.set(key, value, ttl)
    },
    remove: async key => near.remove(key),
    exists: async key => near.exists(key),
    getTTL: key => near.getTTL(key),
    // Nothing is deleted here, see `generations.ts`.
    async invalidate() {},
    async clear() {},
    async refresh() {},
  }
}

/** As much of Redis as the library uses. It takes a failure for a miss. */
function patientClient(redis: SharedRedis, namespace: Namespace): StorageRedisOptions['client'] {
  // Another version may write the same thing differently.
  const nameOf = async (key: string) => `${await namespace()}:kept:${packageVersion}:${key}`
  return {
    async get(key: string) {
      const name = await nameOf(key)
      return redis.isThere ? redis.ask(client => client.get(name)) : null
    },
    async set(key: string, value: string, _unit: 'EX', seconds: number) {
      const name = await nameOf(key)
      return redis.isThere ? redis.ask(client => client.set(name, value, 'EX', seconds)) : null
    },
  } as unknown as StorageRedisOptions['client']
}
