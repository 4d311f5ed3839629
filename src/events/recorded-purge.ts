import { lt, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import { inTransaction } from '../db/transaction.ts'
import type { Db, Tx } from '../db/types.ts'
import type { Actor } from '../lib/actor.ts'
import type { EventType } from './event-type.ts'
import { recordAll } from './record.ts'

interface Purge {
  table: PgTable & { id: PgColumn; deleted_at: PgColumn }
  /** Whose the rows are. */
  owner: PgColumn
  /** Has no fields: what is gone for good is not to live on in its event. */
  type: EventType
  days: number
  /** In one transaction; fewer where much hangs on a row. */
  at_once: number
  /** Aborted when the process stops; what is left is for the next time. */
  signal: AbortSignal
}

/** Removes for good what was marked as deleted so many days ago, oldest first, with an event for each row. */
export async function purgeDeleted(db: Db, actor: Actor, purge: Purge): Promise<void> {
  for (;;) {
    purge.signal.throwIfAborted()
    const purged = await inTransaction(db, async tx => {
      const rows = await removeSome(tx, purge)
      const facts = rows.map(({ id, owner_id }) => ({ subject_id: id, owner_id, before: {} }))
      await recordAll(tx, actor, purge.type, facts)
      return rows.length
    })
    if (purged < purge.at_once) return
  }
}

/** What another process is about to purge, or somebody to bring back, is left to them. */
async function removeSome(tx: Tx, { table, owner, days, at_once }: Purge) {
  const due = tx
    .select({ id: table.id })
    .from(table)
    .where(lt(table.deleted_at, sql`now() - ${days} * interval '1 d'`))
    .orderBy(table.deleted_at)
    .limit(at_once)
    .for('update', { skipLocked: true })
  // An array is made once. With `in`, a plan may look for what is due again for each row, and find other rows each time.
  const isDue = sql`${table.id} = any(array(${due}))`
  const rows = await tx.delete(table).where(isDue).returning({ id: table.id, owner_id: owner })
  return rows as { id: string; owner_id: string }[]
}
