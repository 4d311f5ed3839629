import { type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What a collection of all garbage is called in `perf_hooks`. */
const MAJOR = 4

/** Node's types do not know what is told of a collection. */
type Collection = PerformanceEntry & { detail?: { kind?: number } }

/** A full collection stops everything, for a second where the heap has gigabytes. */
const COLLECT_EVERY_MS = 5_000

/** From here on it matters whether there is garbage among it. */
const SUSPECT = 0.85

/**
 * The share of its limit that the heap had in use after garbage was last collected. What is in use at any moment says
 * little: a heap may be full of garbage that Node sees no need to collect yet, and a process that refused everything
 * because of it would never come to need to. For the same reason one is collected while it looks full.
 */
export function watchHeap() {
  let survived = 0
  let collect: (() => void) | undefined
  let collected_at = 0
  const observer = new PerformanceObserver(list => {
    if (list.getEntries().some(entry => (entry as Collection).detail?.kind === MAJOR)) survived = inUse()
  })
  observer.observe({ entryTypes: ['gc'] })

  return {
    share(now: number): number {
      if (survived > SUSPECT && now - collected_at > COLLECT_EVERY_MS) {
        collected_at = now
        collect ??= collector()
        collect()
        survived = inUse()
      }
      return survived
    },
    end: () => observer.disconnect(),
  }
}

function inUse(): number {
  const { used_heap_size, heap_size_limit } = getHeapStatistics()
  return used_heap_size / heap_size_limit
}

/** What `node --expose-gc` gives to everybody, for us alone. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  return gc
}
