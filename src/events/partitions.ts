import { sql } from 'drizzle-orm'
import { allRows } from '../db/rows.ts'
import { inTransaction } from '../db/transaction.ts'
import type { Db, Tx } from '../db/types.ts'
import { firstIdAt } from '../lib/id.ts'

/** Made this far ahead, the partitions last even if no worker runs for months; after that, `events_rest` takes all. */
const MONTHS_AHEAD = 3

/** A long export must not make the writers wait behind our lock: we give up, and the job tries again. */
const LOCK_TIMEOUT = sql.raw(`set local lock_timeout = '2s'`)

export interface Month {
  partition: string
  from: Date
  to: Date
}

/** Makes the partitions of this month and the next ones, if they are not there. */
export async function ensurePartitions(db: Db, now = new Date()): Promise<void> {
  const existing = new Set((await listPartitions(db)).map(({ partition }) => partition))
  for (let ahead = 0; ahead <= MONTHS_AHEAD; ahead++) {
    const month = monthOf(now, ahead)
    if (!existing.has(month.partition)) await inTransaction(db, tx => createPartition(tx, month))
  }
}

/** The months that lie wholly before `time`, oldest first. */
export const partitionsBefore = async (db: Db, time: Date): Promise<Month[]> =>
  (await listPartitions(db)).filter(({ to }) => to <= time)

/** For good, and without looking at the rows, so the triggers that refuse DELETE have no say. */
export async function dropPartition(tx: Tx, { partition }: Month): Promise<void> {
  await tx.execute(LOCK_TIMEOUT)
  await tx.execute(sql`drop table ${sql.identifier(partition)}`)
}

/** The months that have a partition, oldest first. */
async function listPartitions(db: Db): Promise<Month[]> {
  const rows = await allRows<{ name: string }>(
    db,
    sql`
      select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
      where inhparent = 'events'::regclass and relname ~ '^events_[0-9]{4}_[0-9]{2}$' order by relname`,
  )
  return rows.map(({ name }) => {
    const [, year, month] = name.split('_').map(Number)
    return monthOf(new Date(Date.UTC(year ?? 0, (month ?? 1) - 1)), 0)
  })
}

/** Attached rather than created in place: that would lock out the writers of the whole table. */
async function createPartition(tx: Tx, { partition, from, to }: Month) {
  const name = sql.identifier(partition)
  const bounds = sql.raw(`from ('${firstIdAt(from)}') to ('${firstIdAt(to)}')`)
  await tx.execute(LOCK_TIMEOUT)
  await tx.execute(sql`create table ${name} (like events including all)`)
  await tx.execute(sql`alter table events attach partition ${name} for values ${bounds}`)
  await tx.execute(
    sql`create trigger events_no_truncate before truncate on ${name} for each statement execute function refuse_change()`,
  )
}

function monthOf(time: Date, offset: number): Month {
  const from = new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth() + offset))
  const to = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1))
  const partition = `events_${from.toISOString().slice(0, 7).replace('-', '_')}`
  return { partition, from, to }
}
