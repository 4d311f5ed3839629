import { sql } from 'drizzle-orm'
import { firstRow } from '../db/rows.ts'
import type { Db } from '../db/types.ts'

/**
 * Events are ordered by the transaction that recorded them. A dump that is restored into another server brings events of
 * transactions which that server has not reached: readers would wait for it, and new events would come before old ones.
 * So the clock is set forward, past all that was restored. Returns by how much.
 */
export async function setClockAfterRestore(db: Db): Promise<bigint> {
  const row = await firstRow<{ behind: string; offset: string }>(
    db,
    sql`
      select coalesce((select max(transaction_id) from events), 0) - event_clock() as behind,
        event_clock_offset() as offset`,
  )
  const behind = BigInt(row?.behind ?? 0)
  if (behind < 0n) return 0n
  const offset = BigInt(row?.offset ?? 0) + behind + 1n
  await db.execute(
    sql.raw(
      `create or replace function event_clock_offset() returns bigint language sql stable as $$ select ${offset}::bigint $$`,
    ),
  )
  return behind + 1n
}
