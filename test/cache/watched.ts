import { setImmediate as nextTurn } from 'node:timers/promises'
import type { App } from '../../src/app.ts'

type Answer = Promise<unknown> & { values?: () => Promise<unknown> }
type Run = (text: string, ...rest: unknown[]) => Answer

/** Statements of an app whose text matches, counted; and, while they are held, answered only when they are let go. */
export function watchStatements({ database }: App, pattern: RegExp) {
  const { client } = (database.db as unknown as { _: { session: { client: Record<string, Run> } } })._.session
  let gate: Promise<void> | undefined
  let open = () => {}
  const watched = {
    count: 0,
    /** How many of those that are held the database has answered. */
    read: 0,
    hold() {
      gate = new Promise(resolve => {
        open = resolve
      })
    },
    letGo() {
      gate = undefined
      open()
    },
  }
  for (const name of ['unsafe', 'query']) {
    const own = client[name]
    if (own === undefined) continue
    client[name] = (text, ...rest) => {
      const answer = own.call(client, text, ...rest)
      if (!pattern.test(text)) return answer
      watched.count++
      if (gate === undefined) return answer
      const until = gate
      const held = async (result: unknown) => {
        const rows = await result
        watched.read++
        await until
        return rows
      }
      return new Proxy(answer, {
        get(target, property) {
          if (property === 'values') return () => held(target.values?.())
          if (property !== 'then') return Reflect.get(target, property)
          return (...handlers: Parameters<typeof answer.then>) => held(target).then(...handlers)
        },
      })
    }
  }
  return watched
}

/** What reads posts, and changes nothing. */
export const READS_POSTS = /^\s*select[^;]*\bposts\b/

/** Waits for the thing itself; the file's own time limit ends it. */
export async function until(isSo: () => unknown) {
  while (!(await isSo())) await new Promise(resolve => setTimeout(resolve, 5))
}

/** Asks again and again until it is told to stop, and lets others have a turn: what is kept is answered within one. */
export function readers(apps: readonly App[], urls: readonly string[]) {
  let over = false
  const reading = apps.flatMap(app =>
    urls.map(async url => {
      while (!over) {
        await app.inject(url)
        await nextTurn()
      }
    }),
  )
  return async () => {
    over = true
    await Promise.all(reading)
  }
}

/** How the reads of one kind were answered so far. */
export async function results(app: App, cache: string): Promise<Record<string, number>> {
  const metric = await app.metrics.getSingleMetric('plinth_cache_requests_total')?.get()
  const own = (metric?.values ?? []).filter(({ labels }) => labels.cache === cache)
  return Object.fromEntries(own.map(({ labels, value }) => [labels.result, value]))
}
