import { and, desc, eq, gte, isNull, lt, lte, or, type SQL, sql } from 'drizzle-orm'
import type { PgSelect } from 'drizzle-orm/pg-core'
import { momentOf } from '../../db/moments.ts'
import { boundedTotal, countAlone, isAfter, sortedBy, withTotal } from '../../db/paging.ts'
import { executePrepared } from '../../db/raw.ts'
import { contains } from '../../db/search.ts'
import type { Db } from '../../db/types.ts'
import type { Found } from '../../lib/paging.ts'
import { fieldFault } from '../../lib/problems.ts'
import {
  type Item,
  type ItemFilter,
  type ItemStats,
  type ItemSummary,
  METADATA_PREFIX,
  type sortedItems,
} from './schemas.ts'
import { itemCounts, items } from './tables.ts'

export type ItemSlice = ReturnType<typeof sortedItems.slice>

/** An owner's items that are not deleted, and the rest of what is asked for. */
export type OwnItemFilter = Omit<ItemFilter, 'user_id'> & { user_id: string }

/** What a query selects to answer with `Item`. */
const itemColumns = {
  id: items.id,
  user_id: items.user_id,
  title: items.title,
  description: items.description,
  status: items.status,
  price: items.price,
  metadata: items.metadata,
  version: items.version,
  created_at: items.created_at,
  updated_at: items.updated_at,
}

const summaryColumns = {
  id: items.id,
  title: items.title,
  status: items.status,
  price: items.price,
  created_at: items.created_at,
  updated_at: items.updated_at,
  version: items.version,
}

type Columns = Partial<typeof itemColumns>

/** The columns of a list: those of `ItemSummary`, or those that were asked for. */
export function columnsOf(fields: string | undefined): Columns {
  if (fields === undefined) return summaryColumns
  return Object.fromEntries(fields.split(',').map(name => [name, itemColumns[name as keyof Item]]))
}

/**
 * Neither prepared nor with one plan for all: what is best for an owner of a hundred items may read and sort all of
 * a million, and the planner knows which of them it is only if it sees who is asking, and for what.
 */
export async function listItems(
  db: Db,
  filter: OwnItemFilter,
  slice: ItemSlice,
  columns: Columns,
): Promise<Found<ItemSummary>> {
  const rows = (await selectListed(db, filter, slice, columns)) as Listed[]
  const found = await withTotal(rows, slice, () => countListed(db, filter))
  return { ...found, bounded: !isKeptCountOf(filter) }
}

/** Where not all of these columns were asked for, whoever asked knows. */
type Listed = ItemSummary & { total: number | null }

/** The query of a list, as it is: benches show its plan. */
export function selectListed(db: Db, filter: OwnItemFilter, slice: ItemSlice, columns: Columns) {
  const where = and(...conditionsOf(filter))
  const total = slice.after === undefined ? totalOf(db, filter, where) : sql<null>`null`
  // The id and what is sorted by are what the next page's cursor is made of.
  const selected = { ...columns, id: items.id, [slice.sort_by]: items[slice.sort_by], total }
  return sliced(db.select(selected).from(items).$dynamic(), where, slice)
}

/** The same with all that there is of each item, and nobody counts them. */
export const selectWhole = (db: Db, filter: OwnItemFilter, slice: ItemSlice) =>
  sliced(db.select(itemColumns).from(items).$dynamic(), and(...conditionsOf(filter)), slice)

function sliced<Query extends PgSelect>(query: Query, where: SQL | undefined, slice: ItemSlice) {
  const { sort_by, sort_dir, after, limit, offset } = slice
  const order = { column: items[sort_by], id: items.id, direction: sort_dir }
  return query
    .where(and(where, isAfter(order, after)))
    .orderBy(...sortedBy(order))
    .limit(limit)
    .offset(offset)
}

/** Kept count of where it can be, counted up to a bound where it must be. */
const totalOf = (db: Db, filter: OwnItemFilter, where: SQL | undefined): SQL<number> =>
  isKeptCountOf(filter) ? keptTotal(filter) : boundedTotal(db, items, where)

/** All of an owner's items, or those of a status. */
const isKeptCountOf = (filter: OwnItemFilter) =>
  furtherConditions(filter).every(condition => condition === undefined)

function keptTotal({ user_id, status }: OwnItemFilter): SQL<number> {
  const counted = status === undefined ? sql`draft + published + archived` : sql.identifier(status)
  return sql<number>`(
    select coalesce(sum(${counted}), 0)::int from ${itemCounts} where ${eq(itemCounts.user_id, user_id)}
  )`
}

const countListed = (db: Db, filter: OwnItemFilter): Promise<number> =>
  countAlone(db, totalOf(db, filter, and(...conditionsOf(filter))))

const conditionsOf = (filter: OwnItemFilter): (SQL | undefined)[] => [
  eq(items.user_id, filter.user_id),
  isNull(items.deleted_at),
  filter.status && eq(items.status, filter.status),
  ...furtherConditions(filter),
]

/** By which nobody keeps count. */
function furtherConditions(filter: OwnItemFilter): (SQL | undefined)[] {
  const { min_price, max_price, created_from, created_to, search } = filter
  return [
    min_price === undefined ? undefined : gte(items.price, min_price),
    max_price === undefined ? undefined : lte(items.price, max_price),
    created_from === undefined ? undefined : gte(items.created_at, moment(created_from)),
    created_to === undefined ? undefined : lt(items.created_at, moment(created_to)),
    search ? or(contains(items.title, search), contains(items.description, search)) : undefined,
    ...metadataConditions(filter),
  ]
}

const moment = (text: string) => sql`${text}::timestamptz`

/** Each has to be looked for in the index of contents. */
const MOST_METADATA_FILTERS = 10

/** In a URL everything is text: `5` is looked for as a number too, and `true` as what is true. */
function metadataConditions(filter: OwnItemFilter): (SQL | undefined)[] {
  const names = Object.keys(filter).filter(name => name.startsWith(METADATA_PREFIX))
  if (names.length > MOST_METADATA_FILTERS) throw tooManyFilters(names.at(-1) ?? '')
  return names.map(name => {
    const text = filter[name as `metadata.${string}`] ?? ''
    const key = name.slice(METADATA_PREFIX.length)
    const holds = (value: unknown) => sql`${items.metadata} @> ${JSON.stringify({ [key]: value })}::jsonb`
    const scalar = IS_SCALAR.test(text) ? [holds(JSON.parse(text))] : []
    return or(holds(text), ...scalar)
  })
}

const IS_SCALAR = /^(true|false|null|-?(0|[1-9]\d{0,14})(\.\d{1,14})?)$/

const tooManyFilters = (name: string) =>
  fieldFault({
    in: 'query',
    pointer: `/${name}`,
    code: 'maxProperties',
    message: `is more than ${MOST_METADATA_FILTERS} conditions on metadata`,
  })

export async function findItem(db: Db, id: string, owner_id: string | null): Promise<Item | undefined> {
  const [row] = await executePrepared(db, FIND, [id, owner_id])
  return row && itemOf(row)
}

/** What is answered, and recorded, of an item; the price as text, because it never is a number here. */
export const ITEM_COLUMNS = [
  ...['id', 'user_id', 'title', 'description', 'status'].map(column => `subject.${column}`),
  'subject.price::text as price',
  ...['metadata', 'version', 'created_at', 'updated_at'].map(column => `subject.${column}`),
].join(', ')

const FIND = `
  select ${ITEM_COLUMNS} from items as subject
  where id = $1::uuid and ($2::uuid is null or user_id = $2::uuid) and deleted_at is null`

export const itemOf = ({
  deleted_at: _deleted,
  created_at,
  updated_at,
  ...row
}: Record<string, unknown>): Item =>
  ({ ...row, created_at: momentOf(created_at), updated_at: momentOf(updated_at) }) as Item

export async function countItems(db: Db, user_id: string): Promise<ItemStats> {
  const [row] = await executePrepared(db, STATS, [user_id])
  return row as ItemStats
}

const STATS = `
  select coalesce(sum(draft + published + archived), 0)::int as total, coalesce(sum(draft), 0)::int as draft,
    coalesce(sum(published), 0)::int as published, coalesce(sum(archived), 0)::int as archived
  from item_counts where user_id = $1::uuid`

/** All of a user's, the deleted ones too, newest first. */
export const selectItems = (db: Db, user_id: string, before: string | undefined, limit: number) =>
  db
    .select()
    .from(items)
    .where(and(eq(items.user_id, user_id), before === undefined ? undefined : lt(items.id, before)))
    .orderBy(desc(items.id))
    .limit(limit)
