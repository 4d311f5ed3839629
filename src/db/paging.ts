import { asc, desc, type SQL, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import { type Direction, type Found, MOST_COUNTED, type Slice, type SortKey } from '../lib/paging.ts'
import type { Db } from './types.ts'

/** Both in one direction, so that one index on (column, id) serves either. */
interface Order {
  column: PgColumn
  id: PgColumn
  direction: Direction
}

export function sortedBy({ column, id, direction }: Order): SQL[] {
  const by = direction === 'asc' ? asc : desc
  return [by(sortable(column)), by(id)]
}

/** The rows that come after one in this order, whether or not that one is still there. */
export function isAfter({ column, id, direction }: Order, key: SortKey | undefined): SQL | undefined {
  if (key === undefined) return undefined
  const isBeyond = sql.raw(direction === 'asc' ? '>' : '<')
  return sql`(${sortable(column)}, ${id}) ${isBeyond} (${key.value ?? NEVER}, ${key.id})`
}

const NEVER = '-infinity'

/**
 * A moment that never was comes before all others. An index is on this very expression: a condition that tells nulls
 * from the rest would have Postgres read all rows up to the page (87 ms instead of 12 in the middle of 100 000 users).
 */
const sortable = (column: PgColumn): PgColumn | SQL =>
  column.notNull ? column : sql`coalesce(${column}, ${sql.raw(`'${NEVER}'`)})`

/**
 * A column that says how many rows there are on all pages, for a page by number. In the same statement, because a
 * second one costs a round trip; a window count would have Postgres go through all rows in their order.
 */
export const totalOf = (db: Db, table: PgTable, where: SQL | undefined, { after }: Slice) =>
  (after === undefined ? db.$count(table, where) : sql`null`) as SQL<number | null>

/**
 * The same, counted no further than what tells that there are more than MOST_COUNTED: so that it takes no longer for a
 * million rows than for some thousands.
 */
export function boundedTotal(db: Db, table: PgTable, where: SQL | undefined): SQL<number> {
  const counted = db
    .select({ one: sql`1` })
    .from(table)
    .where(where)
    .limit(MOST_COUNTED + 1)
  return sql<number>`(select count(*)::int from (${counted}) as counted)`
}

/** A page beyond the end has no row to bring the total along. */
export async function withTotal<Row extends { total: number | null }>(
  rows: Row[],
  { after, offset }: Slice,
  count: () => Promise<number>,
): Promise<Found<Omit<Row, 'total'>>> {
  if (after !== undefined) return { rows: rows.map(withoutTotal), total: null }
  const total = rows[0]?.total ?? (offset === 0 ? 0 : await count())
  return { rows: rows.map(withoutTotal), total }
}

/** A total without the rows of a page. */
export async function countAlone(db: Db, total: SQL<number>): Promise<number> {
  const [row] = await db.select({ total }).from(sql`(select 1) as nothing`)
  return row?.total ?? 0
}

const withoutTotal = <Row extends { total: number | null }>({ total: _counted, ...row }: Row) => row
