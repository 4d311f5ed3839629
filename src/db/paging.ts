import { asc, desc, type SQL, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Direction, Found, Slice, SortKey } from '../lib/paging.ts'
import type { Db } from './types.ts'

/** Both in one direction, so that one index on (column, id) serves either; a null is less than any value. */
interface Order {
  column: PgColumn
  id: PgColumn
  direction: Direction
}

/** Postgres takes an index only for the very order of nulls that it has, even where there can be none. */
export function sortedBy({ column, id, direction }: Order): SQL[] {
  if (direction === 'asc') return [column.notNull ? asc(column) : sql`${column} asc nulls first`, asc(id)]
  return [column.notNull ? desc(column) : sql`${column} desc nulls last`, desc(id)]
}

/** The rows that come after one in this order, whether or not that one is still there. */
export function isAfter({ column, id, direction }: Order, key: SortKey | undefined): SQL | undefined {
  if (key === undefined) return undefined
  const { value } = key
  if (direction === 'asc') {
    if (value === null) return sql`(${column} is not null or (${column} is null and ${id} > ${key.id}))`
    return sql`(${column}, ${id}) > (${value}, ${key.id})`
  }
  if (value === null) return sql`(${column} is null and ${id} < ${key.id})`
  const isLess = sql`(${column}, ${id}) < (${value}, ${key.id})`
  return column.notNull ? isLess : sql`(${isLess} or ${column} is null)`
}

/**
 * A column that says how many rows there are on all pages, for a page by number. In the same statement, because a
 * second one costs a round trip; a window count would have Postgres go through all rows in their order.
 */
export const totalOf = (db: Db, table: PgTable, where: SQL | undefined, { after }: Slice) =>
  (after === undefined ? db.$count(table, where) : sql`null`) as SQL<number | null>

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

const withoutTotal = <Row extends { total: number | null }>({ total: _counted, ...row }: Row) => row
