import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
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
 * comes back, also not with a Redis that was started from an older file: they are named after its run. A change deletes
 * the word, and the next reader makes another. Asking costs every reader a round trip, and
 * is what makes it safe: a copy of the generation in memory could be old.
 */
export function sharedGenerations(redis: SharedRedis, namespace: Namespace): Generations {
  /** Told in vain: until they are told, others may answer with what was before, and this process keeps nothing. */
  const owed = new Map<string, number>()
  /** So that word of an earlier change, which arrives late, is not taken for that of a later one. */
  let debts = 0
  const underway = new Set<Promise<void>>()
  let again: NodeJS.Timeout | undefined

  return {
    async current(subject) {
      if (!redis.isThere || owed.size > 0) return undefined
      try {
        const names = await namespace()
        const known = await redis.ask(client => client.get(keyOf(client, names, subject)))
        return known ?? (await begin(names, subject))
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
        await tell([...owed.keys()])
      }
      clearInterval(again)
    },
  }

  /** Before the database is read. Of two who begin one, the second takes it as not known this time. */
  async function begin(names: string, subject: string) {
    const word = randomUUID()
    const begun = await redis.ask(client =>
      client.set(keyOf(client, names, subject), word, 'EX', GENERATION_SECONDS, 'NX'),
    )
    return begun === 'OK' ? word : undefined
  }

  async function tell(subjects: readonly string[]) {
    const seen = subjects.map(subject => owed.get(subject))
    try {
      const names = await namespace()
      await redis.ask(client => client.del(...subjects.map(subject => keyOf(client, names, subject))))
      subjects.forEach((subject, index) => {
        if (owed.get(subject) === seen[index]) owed.delete(subject)
      })
    } catch {
      for (const subject of subjects) owe(subject)
    }
    if (owed.size === 0) {
      clearInterval(again)
      again = undefined
    }
  }

  function owe(subject: string) {
    const [earliest] = owed.keys()
    if (owed.size >= MOST_OWED && earliest !== undefined) owed.delete(earliest)
    owed.set(subject, ++debts)
    again ??= setInterval(() => tell([...owed.keys()]), TELL_AGAIN_MS).unref()
  }
}

function keyOf(client: Redis, names: string, subject: string): string {
  // Read by the client whenever it connects.
  const { run_id = '' } = (client as { serverInfo?: { run_id?: string } }).serverInfo ?? {}
  return `${names}:generation:${run_id}:${subject}`
}
