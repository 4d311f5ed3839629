import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { firstRow } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Db } from '../../src/db/types.ts'
import { setClockAfterRestore } from '../../src/events/clock.ts'
import { defineEvent } from '../../src/events/event-type.ts'
import { BEGINNING, type Position, readEvents } from '../../src/events/read.ts'
import { record } from '../../src/events/record.ts'
import { events } from '../../src/events/tables.ts'
import { enqueue } from '../../src/jobs/enqueue.ts'
import { installJobs } from '../../src/jobs/install.ts'
import { defineJob } from '../../src/jobs/job.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { firstIdAt, newId } from '../../src/lib/id.ts'
import { anotherDatabase, eventsAreFinal, serverUrl, testDatabase } from '../database.ts'

const counted = defineEvent('test_count.raised', Type.Object({ number: Type.Integer() }))
const countJob = defineJob({
  name: 'test.count',
  summary: 'Counts',
  payload: Type.Object({ number: Type.Integer() }),
  run: async () => {},
})

const recordNumber = (db: Db, number: number) =>
  inTransaction(db, tx =>
    record(tx, systemActor(), counted, { subject_id: null, owner_id: null, after: { number } }),
  )

async function numbersAfter(db: Db, position: Position) {
  await eventsAreFinal(db)
  return readNumbers(db, position)
}

async function readNumbers(db: Db, position: Position) {
  const found = await readEvents(db, position, 1000)
  return found.map(({ changes }) => changes.number?.[1])
}

test('of a thousand parallel transactions, half rolled back, each commit is one event and one job', async t => {
  const database = await testDatabase()
  const { db } = database
  await installJobs(db, [countJob])
  const seen: { number: unknown; position: Position }[] = []
  let position = BEGINNING
  let writing = true

  const follow = async () => {
    for (let last = false; !last; ) {
      // Whatever is committed before the last look is seen by it.
      last = !writing
      const found = await readEvents(db, position, 50)
      for (const { transaction_id, id, changes } of found) {
        position = { transaction_id, id }
        seen.push({ number: changes.number?.[1], position })
      }
      if (found.length === 50) last = false
    }
  }
  const change = async (number: number) => {
    await inTransaction(db, async tx => {
      const after = { number }
      await record(tx, systemActor(), counted, { subject_id: null, owner_id: null, after })
      await enqueue(tx, systemActor(), countJob, { number })
      if (number % 2 === 1) throw new Error('planned')
    }).catch(error => {
      if (error.message !== 'planned') throw error
    })
  }
  const following = follow()
  await Promise.all(Array.from({ length: 1000 }, (_, number) => change(number)))
  await eventsAreFinal(db)
  writing = false
  await following

  const even = Array.from({ length: 500 }, (_, index) => index * 2)
  t.strictSame(
    seen.map(({ number }) => Number(number)).sort((one, other) => one - other),
    even,
  )
  const rising = seen.every(({ position: { transaction_id, id } }, index) => {
    const before = seen[index - 1]?.position ?? BEGINNING
    return (
      before.transaction_id < transaction_id || (before.transaction_id === transaction_id && before.id < id)
    )
  })
  t.ok(rising)
  const jobs = await firstRow<{ count: number }>(
    db,
    sql`select count(*)::int as count from pgboss.job where name = 'test.count'`,
  )
  t.equal(jobs?.count, 500)
})

test('an event far from the first page is found from its place', async t => {
  const { db } = await anotherDatabase(t)
  for (const number of [1, 2, 3]) await recordNumber(db, number)
  await eventsAreFinal(db)
  const [first] = await readEvents(db, BEGINNING, 1)
  t.equal(first?.changes.number?.[1], 1)
  t.strictSame(first && (await numbersAfter(db, first)), [2, 3])
})

test('the clock of a machine may be days off, and nothing is skipped', async t => {
  const { db } = await anotherDatabase(t)
  const DAYS_MS = 3 * 86_400_000
  for (const [number, skew_ms] of [0, DAYS_MS, 0, -DAYS_MS, 0].entries()) {
    const changes = { number: [null, number] as [unknown, unknown] }
    const row = { type: counted.name, actor_type: 'system', subject_type: 'test', changes } as const
    await db.insert(events).values({ ...row, id: firstIdAt(new Date(Date.now() + skew_ms)) })
  }
  await eventsAreFinal(db)
  const seen: unknown[] = []
  for (let [event] = await readEvents(db, BEGINNING, 1); event; [event] = await readEvents(db, event, 1)) {
    seen.push(event.changes.number?.[1])
  }
  t.strictSame(seen, [0, 1, 2, 3, 4])
})

// Two transactions at once need two connections.
if (serverUrl !== undefined) {
  test('who commits late is waited for, not skipped', async t => {
    const { db } = await anotherDatabase(t)
    let commit = () => {}
    const held = new Promise<void>(resolve => {
      commit = resolve
    })
    let recorded = () => {}
    const begun = new Promise<void>(resolve => {
      recorded = resolve
    })
    const late = inTransaction(db, async tx => {
      const after = { number: 1 }
      await record(tx, systemActor(), counted, { subject_id: null, owner_id: null, after })
      recorded()
      await held
    })
    await begun
    await recordNumber(db, 2)
    t.strictSame(await readNumbers(db, BEGINNING), [], 'the earlier transaction could still add to it')
    commit()
    await late
    t.strictSame(await numbersAfter(db, BEGINNING), [1, 2])
  })
}

test('after a restore into a server that counts from less, old events stay old and new ones are new', async t => {
  const { db } = await anotherDatabase(t)
  await db.insert(events).values({
    id: newId(),
    transaction_id: 2n ** 40n,
    type: counted.name,
    actor_type: 'system',
    subject_type: 'test_count',
    changes: { number: [null, 1] },
  })
  t.strictSame(await readNumbers(db, BEGINNING), [], 'that transaction is yet to come')
  t.ok((await setClockAfterRestore(db)) > 0n)
  await recordNumber(db, 2)
  t.strictSame(await numbersAfter(db, BEGINNING), [1, 2])
  t.equal(await setClockAfterRestore(db), 0n, 'once is enough')
  await recordNumber(db, 3)
  t.strictSame(await numbersAfter(db, BEGINNING), [1, 2, 3])
})
