import type { Count, Counted, Counter, Counters } from './counters.ts'

export interface MemoryCounters extends Counters {
  take(counters: readonly Counter[]): Counted
  look(counters: readonly Counter[]): Counted
  /** Takes over what was counted elsewhere. */
  adopt(counters: readonly Counter[], counts: readonly Count[]): void
}

interface Window {
  used: number
  ends_at: number
}

interface Options {
  now?: () => number
  most?: number
}

/** Of each length; some 10 MB. Beyond it the oldest go, whose ends are the nearest. */
const MOST_WINDOWS = 50_000

/** In this process alone, without anybody to wait for; by a clock that nobody sets. */
export function createMemoryCounters({
  now = () => performance.now(),
  most = MOST_WINDOWS,
}: Options = {}): MemoryCounters {
  /** By their length in seconds: so they stand in the order in which they end, those that were adopted nearly so. */
  const windows = new Map<number, Map<string, Window>>()

  return {
    take: counters => count(counters, 1),
    look: counters => count(counters, 0),
    adopt(counters, counts) {
      const time = now()
      counters.forEach((counter, index) => {
        const { used = 0, resets_in_ms = 0 } = counts[index] ?? {}
        const window = openWindow(counter, time) ?? begin(counter, time)
        window.used = used
        window.ends_at = time + resets_in_ms
      })
    },
  }

  function count(counters: readonly Counter[], by: 0 | 1): Counted {
    const time = now()
    const open = counters.map(counter => openWindow(counter, time))
    const refused = counters.some(({ quota }, index) => (open[index]?.used ?? 0) >= quota)
    const counts = counters.map((counter, index) => {
      if (refused || by === 0) return countOf(open[index], counter, time)
      const window = open[index] ?? begin(counter, time)
      window.used++
      return countOf(window, counter, time)
    })
    return { refused, counts }
  }

  function openWindow({ key, seconds }: Counter, time: number): Window | undefined {
    const window = windows.get(seconds)?.get(key)
    return window !== undefined && window.ends_at > time ? window : undefined
  }

  function begin({ key, seconds }: Counter, time: number): Window {
    let alike = windows.get(seconds)
    if (alike === undefined) {
      alike = new Map()
      windows.set(seconds, alike)
    }
    // Set anew, it would stay in its old place.
    alike.delete(key)
    makeRoom(alike, time)
    const window = { used: 0, ends_at: time + seconds * 1000 }
    alike.set(key, window)
    return window
  }

  /** Up to two go for each one that comes: so those that have ended become fewer, and there is never much to do at once. */
  function makeRoom(alike: Map<string, Window>, time: number) {
    let gone = 0
    for (const [key, { ends_at }] of alike) {
      if (gone === 2 || (ends_at > time && alike.size < most)) return
      alike.delete(key)
      gone++
    }
  }
}

const countOf = (window: Window | undefined, { seconds }: Counter, time: number): Count =>
  window === undefined
    ? { used: 0, resets_in_ms: seconds * 1000 }
    : { used: window.used, resets_in_ms: window.ends_at - time }
