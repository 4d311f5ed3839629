import { and, asc, eq, gte, lt, sql } from 'drizzle-orm'
import { executePrepared } from '../db/raw.ts'
import type { Db } from '../db/types.ts'
import { firstIdAt } from '../lib/id.ts'
import { events } from './tables.ts'

/** A place in the order of events. */
export interface Position {
  transaction_id: bigint
  id: string
}

/** Before every event, also one with a place that no transaction could have given it. */
export const BEGINNING: Position = { transaction_id: -(2n ** 63n), id: firstIdAt(new Date(0)) }

export const precedes = (one: Position, other: Position): boolean =>
  one.transaction_id < other.transaction_id ||
  (one.transaction_id === other.transaction_id && one.id < other.id)

/** The next events in order. Read again from the last one's position, this neither skips nor repeats any. */
export const readEvents = (db: Db, after: Position, limit: number) =>
  db
    .select()
    .from(events)
    .where(and(isAfter(after), isFinal))
    .orderBy(asc(events.transaction_id), asc(events.id))
    .limit(limit)

/** Where an event is, and what tells whether anybody wants to have it. */
export interface EventKey extends Position {
  type: string
  owner_id: string | null
  /** About how many bytes it has, as Postgres stores it. */
  size: number
}

interface KeyRange {
  after: Position
  /** Only of transactions below; never more than the horizon. */
  below: bigint
  /** Only this owner's. */
  owner_id?: string | null
  limit: number
}

/** The next events in order, as keys: their contents may have a megabyte each, and are read by those who want them. */
export const readKeys = (db: Db, { after, below, owner_id, limit }: KeyRange): Promise<EventKey[]> =>
  db
    .select(keyColumns)
    .from(events)
    .where(
      and(
        isAfter(after),
        lt(events.transaction_id, below),
        owner_id ? eq(events.owner_id, owner_id) : undefined,
      ),
    )
    .orderBy(asc(events.transaction_id), asc(events.id))
    .limit(limit)

const keyColumns = {
  transaction_id: events.transaction_id,
  id: events.id,
  type: events.type,
  owner_id: events.owner_id,
  size: sql<number>`pg_column_size(${events.changes})`,
}

/** The place before everything that is not final yet. It names no event. */
export async function readHorizon(db: Db): Promise<Position> {
  const [row] = await executePrepared(db, 'select event_horizon()::text as transaction_id', [])
  return startOf(BigInt(String(row?.transaction_id)))
}

/** Before all that the transaction recorded. */
const startOf = (transaction_id: bigint): Position => ({ transaction_id, id: BEGINNING.id })

/** Where an event is; undefined if it is not, or no longer, there. */
export async function findPosition(db: Db, id: string): Promise<Position | undefined> {
  const [row] = await db
    .select({ transaction_id: events.transaction_id, id: events.id })
    .from(events)
    .where(eq(events.id, id))
  return row
}

/** Where those begin that have an id from this one on; undefined if there are none. */
export async function findStart(db: Db, id: string): Promise<Position | undefined> {
  const [row] = await db
    .select({ transaction_id: events.transaction_id })
    .from(events)
    .where(gte(events.id, id))
    .orderBy(asc(events.id))
    .limit(1)
  return row && startOf(row.transaction_id)
}

/** By the transaction and nothing else: ids are made by machines, and the clock of one may be days away from another's. */
const isAfter = ({ transaction_id, id }: Position) =>
  sql`(${events.transaction_id}, ${events.id}) > (${String(transaction_id)}::bigint, ${id}::uuid)`

/**
 * An event that is not yet committed has a transaction at or above the horizon, so what is below it is complete, and
 * whoever reads up to there never has to come back. Ids alone would not do: they are made before the commit.
 */
const isFinal = lt(events.transaction_id, sql`event_horizon()`)
