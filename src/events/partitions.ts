import { sql } from 'drizzle-orm'
import { allRows, firstRow } from '../db/rows.ts'
import { inTransaction } from '../db/transaction.ts'
import type { Db, Tx } from '../db/types.ts'
import { firstIdAt } from '../lib/id.ts'

/** Made this far ahead, the partitions last even if no worker runs for months; after that, `events_rest` takes all. */
const MONTHS_AHEAD = 3

interface Month {
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

/**
 * Drops what was recorded before the month of `time`, for good: months whole, so that the triggers which refuse DELETE
 * have no say, and what had found no month. Returns from when on there are events now, or undefined if none were dropped.
 */
export async function dropEventsBefore(tx: Tx, time: Date): Promise<Date | undefined> {
  const { from: boundary } = monthOf(time, 0)
  await lockPartitions(tx)
  const old = (await listPartitions(tx)).filter(({ to }) => to <= boundary)
  for (const { partition } of old) await tx.execute(sql`drop table ${sql.identifier(partition)}`)
  const dropped = await deleteFromRest(tx, new Date(0), boundary)
  return old.length + dropped > 0 ? boundary : undefined
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
  await lockPartitions(tx)
  // Another process may have made it while we waited.
  const there = await firstRow<{ there: boolean }>(
    tx,
    sql`select to_regclass(${partition}) is not null as there`,
  )
  if (there?.there) return
  await tx.execute(sql`create table ${name} (like events including all)`)
  // What was recorded when the month had no partition yet moves in: it could not be attached otherwise.
  await tx.execute(sql`insert into ${name} select * from events_rest where ${isWithin(from, to)}`)
  await deleteFromRest(tx, from, to)
  await tx.execute(sql`alter table events attach partition ${name} for values ${bounds}`)
  await tx.execute(
    sql`create trigger events_no_truncate before truncate on ${name} for each statement execute function refuse_change()`,
  )
}

/** One process at a time; and a long export must not make the writers wait behind our locks: we give up and try later. */
async function lockPartitions(tx: Tx) {
  await tx.execute(sql`set local lock_timeout = '2s'`)
  await tx.execute(sql`select pg_advisory_xact_lock(hashtext('plinth event partitions'))`)
}

/** Without the trigger that refuses it; to switch that off, one has to own the table. Returns how many there were. */
async function deleteFromRest(tx: Tx, from: Date, to: Date): Promise<number> {
  const row = await firstRow(tx, sql`select from events_rest where ${isWithin(from, to)} limit 1`)
  if (row === undefined) return 0
  await tx.execute(sql`alter table events_rest disable trigger events_append_only`)
  const rows = await allRows(tx, sql`delete from events_rest where ${isWithin(from, to)} returning id`)
  await tx.execute(sql`alter table events_rest enable trigger events_append_only`)
  return rows.length
}

const isWithin = (from: Date, to: Date) => sql`id >= ${firstIdAt(from)}::uuid and id < ${firstIdAt(to)}::uuid`

function monthOf(time: Date, offset: number): Month {
  const from = new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth() + offset))
  const to = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1))
  const partition = `events_${from.toISOString().slice(0, 7).replace('-', '_')}`
  return { partition, from, to }
}
