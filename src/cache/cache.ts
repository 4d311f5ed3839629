import { createCache as createLibraryCache, type StorageInterface } from 'async-cache-dedupe'
import { Counter, type Registry } from 'prom-client'
import { namespaceOf } from '../db/namespace.ts'
import type { Database } from '../db/types.ts'
import { followCommitted } from '../events/committed.ts'
import type { SharedRedis } from '../redis/shared.ts'
import { announcedGenerations } from './announced-generations.ts'
import { type Generations, generationsInMemory } from './generations.ts'
import { changedSubjects, type Kept, subjectOf } from './kind.ts'
import { sharedGenerations } from './shared-generations.ts'
import { sharedStorage, storageInMemory } from './storage.ts'

export interface Cache {
  /** What is kept, or what `make` reads from the database: once, for however many ask at the same time. */
  read<Value>(wanted: Wanted, make: () => Promise<Value>): Promise<Value>
  /** Resolves when what has been committed so far is seen by all; undefined where it is already. */
  settled(): Promise<unknown> | undefined
  end(): Promise<void>
}

interface Wanted {
  kept: Kept
  /** Whose it is, where it is of an owner. */
  owner_id?: string
  /** Which of these things: of a bounded length, and the same for what is the same. */
  key: string
  /** Whether whoever asks may have changed it a moment ago, by way of another process. */
  mayHaveWritten: boolean
}

/** Where generations are known, and values kept, follows from how many processes there may be, and what they share. */
interface Way {
  generations: Generations
  storageFor(kept: Kept): StorageInterface
  /** Whether even who has just made a change can be answered by what is kept. */
  isStrict: boolean
}

export function createCache(
  database: Database,
  redis: SharedRedis | undefined,
  kept: readonly Kept[],
  metrics: Registry,
): Cache {
  const { generations, storageFor, isStrict } = wayOf(database, redis, kept)
  const requests = new Counter({
    name: 'plinth_cache_requests_total',
    help: 'Reads of what may be kept: hit, miss, dedupe (waited for somebody who asks the same), or bypass.',
    labelNames: ['cache', 'result'],
    registers: [metrics],
  })
  const storeOf = new Map(kept.map(one => [one, storeFor(one)]))
  const unfollow = followCommitted(database.db, change => {
    changedSubjects(kept, change).forEach(generations.renew)
  })

  return {
    async read(wanted, make) {
      const { kept: one, owner_id = null, key, mayHaveWritten } = wanted
      const subject = subjectOf(one, owner_id)
      const generation = isStrict || !mayHaveWritten ? await generations.current(subject) : undefined
      const store = storeOf.get(one)
      if (generation === undefined || store === undefined) {
        requests.inc({ cache: one.name, result: 'bypass' })
        return make()
      }
      // One string, in which nothing that a caller sends can pass for a generation.
      return (await store({ key: `${generation} ${subject} ${key}`, make })) as Awaited<
        ReturnType<typeof make>
      >
    },
    settled: generations.settled,
    async end() {
      unfollow()
      await generations.end()
    },
  }

  /** One for each kind, so that those of one do not push out those of another. */
  function storeFor(one: Kept) {
    const count = (result: string) => () => requests.inc({ cache: one.name, result })
    const cache = createLibraryCache({
      storage: { type: 'custom', options: { storage: storageFor(one) } },
      ttl: value => (sizeOf(value) <= one.most_characters ? one.ttl_seconds : 0),
      onHit: count('hit'),
      onMiss: count('miss'),
      onDedupe: count('dedupe'),
    })
    const read = ({ make }: Asked) => make()
    return cache.define(one.name, { serialize: ({ key }: Asked) => key }, read)[one.name] as typeof read
  }
}

interface Asked {
  key: string
  make(): Promise<unknown>
}

/** Of what is large, that is the text in it. */
const sizeOf = (value: unknown): number => {
  const { body } = Object(value)
  return typeof body === 'string' ? body.length : 0
}

function wayOf(database: Database, redis: SharedRedis | undefined, kept: readonly Kept[]): Way {
  if (database.kind === 'embedded') {
    return { generations: generationsInMemory(), storageFor: storageInMemory, isStrict: true }
  }
  if (redis === undefined) {
    const generations = announcedGenerations(database, kept)
    return { generations, storageFor: storageInMemory, isStrict: false }
  }
  const namespace = namespaceOf(database.db)
  return {
    generations: sharedGenerations(redis, namespace),
    storageFor: one => sharedStorage(one, redis, namespace),
    isStrict: true,
  }
}

/** For a process that changes things and keeps nothing: tells those that do. Without Redis, the database does. */
export function tellChanges(database: Database, redis: SharedRedis, kept: readonly Kept[]) {
  const generations = sharedGenerations(redis, namespaceOf(database.db))
  const unfollow = followCommitted(database.db, change => {
    changedSubjects(kept, change).forEach(generations.renew)
  })
  return {
    async end() {
      unfollow()
      await generations.end()
    },
  }
}
