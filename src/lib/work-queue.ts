import { setTimeout as sleep } from 'node:timers/promises'
import { Unavailable } from './problems.ts'
import { createTurns } from './turns.ts'

interface WorkQueueOptions {
  at_once: number
  /** Who would have to wait longer is refused. */
  longest_wait_ms: number
  /** How long a piece is thought to take before any has been done. */
  first_guess_ms: number
  /** What the refused are told. */
  refusal: string
  /** When: some time between these, so that those who were refused together do not come back together. */
  refuse_after_ms?: readonly [least: number, most: number]
}

export interface WorkQueue {
  /** Does it when its turn comes; throws `Unavailable` where that would be, or after all is, too late. */
  run<Result>(work: () => Promise<Result>): Promise<Result>
}

/** So that half of the average is the last three pieces: a machine that becomes slow is noticed within a second. */
const WEIGHT_OF_LAST = 0.2

/** Few pieces of work at once, the others first come first served, and as many as can be done in time. */
export function createWorkQueue({
  at_once,
  longest_wait_ms,
  first_guess_ms,
  refusal,
  refuse_after_ms: [least, most] = [0, 0],
}: WorkQueueOptions): WorkQueue {
  const turns = createTurns(at_once)
  let average_ms = first_guess_ms

  return {
    async run(work) {
      if (!turns.takeAtOnce()) await turn()
      const started = performance.now()
      try {
        const result = await work()
        // What fails often fails at once, and would make the queue look faster than it is.
        average_ms += WEIGHT_OF_LAST * (performance.now() - started - average_ms)
        return result
      } finally {
        turns.give()
      }
    },
  }

  async function turn() {
    if (expectedWait() > longest_wait_ms) return refuse()
    const since = performance.now()
    await turns.take()
    // The average is of the past: on a machine that then became slow, people waited up to 7 s.
    if (performance.now() - since > longest_wait_ms) {
      turns.give()
      throw refused()
    }
  }

  async function refuse(): Promise<never> {
    const problem = refused()
    if (most > 0) await sleep(least + Math.random() * (most - least))
    throw problem
  }

  function expectedWait() {
    return ((turns.waiting + 1) * average_ms) / at_once
  }

  function refused() {
    const seconds = String(Math.ceil(expectedWait() / 1000))
    return new Unavailable(refusal, { headers: { 'retry-after': seconds } })
  }
}
