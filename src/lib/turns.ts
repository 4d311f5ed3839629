export interface Turns {
  /** Whether there is a place, which then is taken. */
  takeAtOnce(): boolean
  /** Resolves when there is one. */
  take(): Promise<void>
  give(): void
  /** How many wait. */
  readonly waiting: number
  /** Does it when its turn comes. */
  run<Result>(work: () => Promise<Result>): Promise<Result>
}

/** So many at once, the others first come first served. */
export function createTurns(at_once: number): Turns {
  const queue: (() => void)[] = []
  let running = 0

  const turns: Turns = {
    takeAtOnce() {
      if (running >= at_once) return false
      running++
      return true
    },

    async take() {
      if (!turns.takeAtOnce()) await new Promise<void>(resolve => queue.push(resolve))
    },

    /** The place goes straight to the next in line: were it free for a moment, a newcomer could take it. */
    give() {
      const next = queue.shift()
      if (next === undefined) running--
      else next()
    },

    get waiting() {
      return queue.length
    },

    async run(work) {
      await turns.take()
      try {
        return await work()
      } finally {
        turns.give()
      }
    },
  }
  return turns
}
