import type { Logger } from 'pino'
import type { Db } from '../../db/types.ts'
import { BEGINNING, type EventKey, type Position, readHorizon, readKeys } from '../../events/read.ts'
import { type Repeating, repeat } from '../../lib/repeat.ts'
import { type Frames, readFrames, runsOf } from './frames.ts'

/** How far the reader is. */
export interface Progress {
  /** What is before has been handed out. */
  position: Position
  /** The last such place that names no event, so that every client may know it. */
  reached: Position
}

export const noProgress = (): Progress => ({ position: BEGINNING, reached: BEGINNING })

interface ReaderOptions {
  db: Db
  logger: Logger
  every_ms: number
  progress: Progress
  /** Whether anybody is there who wants it. */
  isWanted(key: EventKey): boolean
  /** Hands it to all who want it, at once. */
  handOut(key: EventKey, frames: Frames): void
}

const KEYS_AT_ONCE = 1_000

/** Reads the events of all in order, from now on; the content only of those that somebody wants. */
export async function startReader(options: ReaderOptions): Promise<Pick<Repeating, 'end'>> {
  const { db, logger, every_ms, progress, isWanted, handOut } = options
  let ended = false
  progress.position = progress.reached = await readHorizon(db)
  const reading = repeat(readOn, { every_ms, logger, failure: 'reading events for the live streams' })

  return {
    end() {
      ended = true
      return reading.end()
    },
  }

  async function readOn() {
    const horizon = await readHorizon(db)
    if (horizon.transaction_id === progress.reached.transaction_id) return
    const range = { below: horizon.transaction_id, limit: KEYS_AT_ONCE }
    for (let isLast = false; !isLast; ) {
      const keys = await readKeys(db, { ...range, after: progress.position })
      for (const run of runsOf(keys)) {
        await handOutRun(run)
        if (ended) return
      }
      isLast = keys.length < KEYS_AT_ONCE
    }
    progress.position = progress.reached = horizon
  }

  async function handOutRun(run: EventKey[]) {
    const known = new Map<string, Frames | undefined>()
    for (;;) {
      // Whoever has joined while this was read wants events that nobody wanted before.
      const wanted = run.filter(key => !known.has(key.id) && isWanted(key))
      if (wanted.length === 0) break
      const found = await readFrames(db, wanted)
      for (const { id } of wanted) known.set(id, found.get(id))
    }
    // From here on nothing is awaited, so nobody can join between an event and the place behind it.
    for (const key of ended ? [] : run) {
      const frames = known.get(key.id)
      if (frames !== undefined) handOut(key, frames)
      progress.position = key
    }
  }
}
