import { createExpectedWait, type Load } from './expected-wait.ts'
import { createWaitGuard } from './wait-guard.ts'

export const OVERLOAD_REASONS = ['event_loop', 'database', 'heap'] as const
export type OverloadReason = (typeof OVERLOAD_REASONS)[number]

/** What there is to look at, all of it cheap enough to be asked for each request. */
export interface Signals {
  /** Requests that wait for their turn on the event loop. */
  line: () => Load
  /** Statements that wait for a connection, or behind another one. */
  pool: () => Load
  /** The share of the heap that is in use. */
  heap: (now: number) => number
  isEmbedded?: boolean
}

/**
 * Half a second is more than what 300 clients leave behind that always ask, without being too many (170 ms of lists, 430 of
 * searches that take Postgres a millisecond and a half); 20 ms are enough for the core never to be without work, and less
 * than what the request itself takes when all is busy.
 */
const LINE = { alarm_ms: 500, after_ms: 100, limit_ms: 20, calm_ms: 1_000 }

/** Statements take longer than requests. */
const POOL = { alarm_ms: 500, after_ms: 250, limit_ms: 50, calm_ms: 1_000 }

/**
 * The embedded database has one connection, and a transaction of some seconds is no stall: while one user sent batches, the
 * limits of the pool refused four of five requests of others, and served the rest no sooner.
 */
const EMBEDDED_POOL = { alarm_ms: 10_000, after_ms: 1_000, limit_ms: 2_000, calm_ms: 1_000 }

/** The pool is asked once in this time: it has to look at each of its connections. */
const POOL_AGE_MS = 1

/** Beyond this, Node collects garbage instead of working, and then ends. */
const HEAP_FULL = 0.9
const HEAP_ROOM = 0.85

export type Overload = ReturnType<typeof createOverload>

/** Whether there is more to do than can be done, and why. Times are those of the caller's clock. */
export function createOverload({ line, pool, heap, isEmbedded = false }: Signals) {
  const lineWait = createExpectedWait()
  const poolWait = createExpectedWait()
  const lineGuard = createWaitGuard(LINE)
  const poolGuard = createWaitGuard(isEmbedded ? EMBEDDED_POOL : POOL)
  let heapIsFull = false
  let pool_ms = 0
  let pool_asked_at = Number.NEGATIVE_INFINITY

  return {
    /** Why a request that comes now has to be refused; undefined when it need not. */
    reasonToRefuse(now: number): OverloadReason | undefined {
      if (isHeapFull(now)) return 'heap'
      if (!poolGuard.admits(now, poolWaitAt(now))) return 'database'
      if (!lineGuard.admits(now, lineWait.at(now, line()))) return 'event_loop'
      return undefined
    },
    /** What is too much at the moment, or was a moment ago. */
    reasons(now: number): OverloadReason[] {
      const on = {
        event_loop: lineGuard.isOn(now),
        database: poolGuard.isOn(now),
        heap: isHeapFull(now),
      }
      return OVERLOAD_REASONS.filter(reason => on[reason])
    },
    figures: (now: number) => ({
      event_loop_wait_ms: lineWait.at(now, line()),
      database_wait_ms: poolWaitAt(now),
      heap_share: heap(now),
    }),
    /** How many may stand in the line when somebody was refused for this reason. */
    lineLimit(now: number, reason: OverloadReason): number {
      const { waiting } = line()
      if (reason !== 'event_loop') return waiting
      const wait_ms = lineWait.at(now, line())
      return wait_ms > LINE.limit_ms ? Math.floor((waiting * LINE.limit_ms) / wait_ms) : waiting
    },
  }

  function isHeapFull(now: number): boolean {
    const share = heap(now)
    heapIsFull = heapIsFull ? share > HEAP_ROOM : share > HEAP_FULL
    return heapIsFull
  }

  function poolWaitAt(now: number): number {
    if (now - pool_asked_at >= POOL_AGE_MS) {
      pool_ms = poolWait.at(now, pool())
      pool_asked_at = now
    }
    return pool_ms
  }
}
