import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { allRows } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Db } from '../../src/db/types.ts'
import { dropEventsBefore, ensurePartitions } from '../../src/events/partitions.ts'
import { events } from '../../src/events/tables.ts'
import { firstIdAt, newId, timeOfId } from '../../src/lib/id.ts'
import { testDatabase } from '../database.ts'

const names = async (db: Db) =>
  (
    await allRows<{ name: string }>(
      db,
      sql`select relname as name from pg_class where relname ~ '^events_[0-9]{4}' and relkind = 'r' order by 1`,
    )
  ).map(({ name }) => name)

async function insertAt(db: Db, time: Date): Promise<string | undefined> {
  const id = firstIdAt(time)
  await db
    .insert(events)
    .values({ id, type: 'test.made', actor_type: 'system', subject_type: 'test', changes: {} })
  const [row] = await allRows<{ table: string }>(
    db,
    sql`select tableoid::regclass::text as table from events where id = ${id}`,
  )
  return row?.table
}

test('there is a partition for each month to come, over the turn of a year too', async t => {
  const { db } = await testDatabase()
  const now = new Date('2031-11-15T00:00:00Z')
  await ensurePartitions(db, now)
  await ensurePartitions(db, now)
  const added = ['events_2031_11', 'events_2031_12', 'events_2032_01', 'events_2032_02']
  t.strictSame(
    (await names(db)).filter(name => name > 'events_2031'),
    added,
  )
  t.equal(await insertAt(db, new Date('2031-11-30T23:59:59.999Z')), 'events_2031_11')
  t.equal(await insertAt(db, new Date('2031-12-01T00:00:00.000Z')), 'events_2031_12')
})

test('what fits no month is recorded all the same', async t => {
  const { db } = await testDatabase()
  t.equal(await insertAt(db, new Date('1999-01-01T00:00:00Z')), 'events_rest')
  t.equal(await insertAt(db, new Date('2099-01-01T00:00:00Z')), 'events_rest')
})

test('what was recorded before its month had a partition moves in when it gets one', async t => {
  const { db } = await testDatabase()
  t.equal(await insertAt(db, new Date('2041-06-15T00:00:00Z')), 'events_rest')
  t.equal(await insertAt(db, new Date('2041-06-16T00:00:00Z')), 'events_rest')
  const now = new Date('2041-05-20T00:00:00Z')
  await Promise.all([ensurePartitions(db, now), ensurePartitions(db, now)])
  const [moved] = await allRows<{ count: number }>(db, sql`select count(*)::int as count from events_2041_06`)
  t.equal(moved?.count, 2)
  await t.rejects(db.execute(sql`delete from events_rest`), { cause: { message: /append-only/ } })
})

test('months are dropped whole, when all of them is past, and what had found none with them', async t => {
  const { db } = await testDatabase()
  await ensurePartitions(db, new Date('2025-01-15T00:00:00Z'))
  await insertAt(db, new Date('2025-01-20T00:00:00Z'))
  await insertAt(db, new Date('2024-11-20T00:00:00Z'))
  const drop = (time: string) => inTransaction(db, tx => dropEventsBefore(tx, new Date(time)))
  const count = async () => {
    const rows = await allRows(db, sql`select id from events where id < ${firstIdAt(new Date('2025-03-01'))}`)
    return rows.length
  }
  t.equal(await drop('1998-12-31T00:00:00Z'), undefined)
  const before = await count()
  t.strictSame(await drop('2025-01-31T23:59:59Z'), new Date('2025-01-01T00:00:00Z'))
  t.ok((await names(db)).includes('events_2025_01'))
  t.strictSame(await drop('2025-02-01T00:00:00Z'), new Date('2025-02-01T00:00:00Z'))
  t.notOk((await names(db)).includes('events_2025_01'))
  t.ok(before > 0)
  t.equal(await count(), 0)
  t.equal(await drop('2025-02-01T00:00:00Z'), undefined, 'there is nothing left to drop')
})

test('ids carry their time', t => {
  const id = newId()
  t.ok(Math.abs(timeOfId(id).getTime() - Date.now()) < 1000)
  t.equal(firstIdAt(timeOfId(id)).slice(0, 13), id.slice(0, 13))
  t.ok(firstIdAt(timeOfId(id)) <= id)
  t.equal(timeOfId(firstIdAt(new Date(0))).getTime(), 0)
  t.end()
})
