import { and, asc, gte, lt, sql } from 'drizzle-orm'
import type { Db } from '../db/types.ts'
import { firstIdAt, timeOfId } from '../lib/id.ts'
import { events } from './tables.ts'

/** A place in the order of events. */
export interface Position {
  transaction_id: bigint
  id: string
}

/** Before every event, also one with a place that no transaction could have given it. */
export const BEGINNING: Position = { transaction_id: -(2n ** 63n), id: firstIdAt(new Date(0)) }

/** More than the clocks of two machines differ and a transaction lasts; it only spares old partitions a look. */
const SLACK_MS = 86_400_000

/** The next events in order. Read again from the last one's position, this neither skips nor repeats any. */
export const readEvents = (db: Db, after: Position, limit: number) =>
  db
    .select()
    .from(events)
    .where(
      and(
        isAfter(after),
        isFinal,
        gte(events.id, firstIdAt(new Date(timeOfId(after.id).getTime() - SLACK_MS))),
      ),
    )
    .orderBy(asc(events.transaction_id), asc(events.id))
    .limit(limit)

const isAfter = ({ transaction_id, id }: Position) =>
  sql`(${events.transaction_id}, ${events.id}) > (${String(transaction_id)}::bigint, ${id}::uuid)`

/**
 * An event that is not yet committed has a transaction at or above the horizon, so what is below it is complete, and
 * whoever reads up to there never has to come back. Ids alone would not do: they are made before the commit.
 */
const isFinal = lt(events.transaction_id, sql`event_horizon()`)
