import { type SQL, sql } from 'drizzle-orm'
import { executeText } from '../../src/db/raw.ts'
import { allRows } from '../../src/db/rows.ts'
import type { Db } from '../../src/db/types.ts'

const EXPLAIN = 'explain (analyze, buffers, costs off)'

/** A query of drizzle's builder: it can be awaited, and shows its text. */
export interface Query extends PromiseLike<unknown[]> {
  toSQL(): { sql: string; params: unknown[] }
}

export async function explainQuery(db: Db, query: Query): Promise<string[]> {
  const { sql: text, params } = query.toSQL()
  const { rows } = await executeText(db, `${EXPLAIN} ${text}`, params)
  return rows.map(row => String(row['QUERY PLAN']))
}

export async function explainSql(db: Db, query: SQL): Promise<string[]> {
  const rows = await allRows<{ 'QUERY PLAN': string }>(db, sql`${sql.raw(EXPLAIN)} ${query}`)
  return rows.map(row => row['QUERY PLAN'])
}

/** What `work` would have executed: for functions that do not show their query. */
export async function sqlOf(work: (db: Db) => Promise<unknown>): Promise<SQL> {
  const asked: SQL[] = []
  await work({
    execute: async (query: SQL) => {
      asked.push(query)
      return []
    },
  } as unknown as Db)
  const [query] = asked
  if (query === undefined) throw new Error('It executed nothing.')
  return query
}

const KEPT = /actual |Rows Removed|Sort Method|Subplans Removed|^(Planning|Execution) Time/

/** The nodes with what they did; those that never ran are only counted. */
export function shorten(plan: string[]): string[] {
  const idle = plan.filter(line => line.includes('(never executed)')).length
  const kept = plan.filter(line => KEPT.test(line))
  const touched = plan.find(line => line.includes('Buffers:'))?.trim()
  return [
    ...kept,
    ...(touched === undefined ? [] : [`${touched} (all nodes)`]),
    ...(idle > 0 ? [`${idle} nodes never executed`] : []),
  ]
}

/** 8 KiB blocks that the whole statement looked at. */
export function blocks(plan: string[]): number {
  const line = plan.find(text => text.includes('Buffers:')) ?? ''
  const counts = [...line.matchAll(/(?:hit|read)=(\d+)/g)].map(([, count]) => Number(count))
  return counts.reduce((sum, count) => sum + count, 0)
}

export function removedRows(plan: string[]): number {
  const counts = plan.flatMap((line, index) => {
    const removed = /Rows Removed by .*: (\d+)/.exec(line)?.[1]
    if (removed === undefined) return []
    const loops = plan.slice(0, index).findLast(text => text.includes('loops='))
    return [Number(removed) * Number(/loops=(\d+)/.exec(loops ?? '')?.[1] ?? 1)]
  })
  return counts.reduce((sum, count) => sum + count, 0)
}
