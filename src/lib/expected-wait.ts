/** What stands in a line, and how much of it has been dealt with so far. */
export interface Load {
  waiting: number
  answered: number
}

/** So far back the pace is looked at: long enough for some hundred answers, short enough to follow a stall. */
const WINDOW_MS = 200

/**
 * How long who comes now would stand in a line, by Little's law: those who wait, over those answered in a time. The clock
 * stands still while nobody waits, because a line that is empty does not show how fast it could be.
 */
export function createExpectedWait() {
  let last: Load = { waiting: 0, answered: 0 }
  let looked_at = 0
  let answered_at = 0
  let busy_ms = 0
  let done = 0

  return {
    at(now: number, load: Load): number {
      const answered = load.answered - last.answered
      if (last.waiting > 0) {
        // Whoever asks seldom does not know since when nobody has waited.
        busy_ms += Math.min(now - looked_at, WINDOW_MS)
        done += answered
      }
      if (busy_ms > WINDOW_MS) {
        busy_ms /= 2
        done /= 2
      }
      if (answered > 0 || last.waiting === 0) answered_at = now
      last = load
      looked_at = now
      if (load.waiting === 0) return 0
      const silence = now - answered_at
      return done > 0 ? Math.max((load.waiting * busy_ms) / done, silence) : silence
    },
  }
}
