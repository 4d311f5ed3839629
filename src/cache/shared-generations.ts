import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Namespace } from '../db/namespace.ts'
import type { SharedRedis } from '../redis/shared.ts'
import type { Generations } from './generations.ts'

/** It may go at any time, because the next one will not be the same. */
const GENERATION_SECONDS = 3_600

/** What could not be told is told again this often. */
const TELL_AGAIN_MS = 1_000

/** What was kept before the earliest of more than these has run out by then. */
const MOST_OWED = 10_000

/** A process that ends gives Redis this many turns to be there. */
const LAST_TURNS = 10
const LAST_TURN_MS = 50

/**
 * For several processes with Redis, which holds the generations: random words, so that one that was lost or evicted never
 * comes back. A change deletes the word, and the next reader makes another. Asking costs every reader a round trip, and
 * is what makes it safe: a copy of the generation in memory could be old.
 */
export function sharedGenerations(redis: SharedRedis, namespace: Namespace): Generations {
  /** Told in vain: until they are told, others may answer with what was before, and this process keeps nothing. */
  const owed = new Set<string>()
  const underway = new Set<Promise<void>>()
  let again: NodeJS.Timeout | undefined

  return {
    async current(subject) {
      if (!redis.isThere || owed.size > 0) return undefined
      try {
        const key = await keyOf(subject)
        const known = await redis.ask(client => client.get(key))
        return known ?? (await begin(key))
      } catch {
        return undefined
      }
    },
    renew(subject) {
      const telling = tell([subject]).finally(() => underway.delete(telling))
      underway.add(telling)
    },
    settled: () => (underway.size === 0 ? undefined : Promise.all(underway)),
    async end() {
      await Promise.all(underway)
      for (let turn = 0; turn < LAST_TURNS && owed.size > 0; turn++) {
        await pause(LAST_TURN_MS)
        await tell([...owed])
      }
      clearInterval(again)
    },
  }

  /** Before the database is read. Of two who begin one, the second takes it as not known this time. */
  async function begin(key: string) {
    const word = randomUUID()
    const begun = await redis.ask(client => client.set(key, word, 'EX', GENERATION_SECONDS, 'NX'))
    return begun === 'OK' ? word : undefined
  }

  async function tell(subjects: readonly string[]) {
    try {
      const keys = await Promise.all(subjects.map(keyOf))
      await redis.ask(client => client.del(...keys))
      for (const subject of subjects) owed.delete(subject)
    } catch {
      for (const subject of subjects) owe(subject)
    }
    if (owed.size === 0) {
      clearInterval(again)
      again = undefined
    }
  }

  function owe(subject: string) {
    const [earliest] = owed
    if (owed.size >= MOST_OWED && earliest !== undefined) owed.delete(earliest)
    owed.add(subject)
    again ??= setInterval(() => tell([...owed]), TELL_AGAIN_MS).unref()
  }

  async function keyOf(subject: string) {
    return `${await namespace()}:generation:${subject}`
  }
}
