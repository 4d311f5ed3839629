import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { allRows } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Db, Tx } from '../../src/db/types.ts'
import { enqueue } from '../../src/jobs/enqueue.ts'
import { installJobs } from '../../src/jobs/install.ts'
import { defineJob } from '../../src/jobs/job.ts'
import { countMissingQueues, dueQueues } from '../../src/jobs/queries.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { anotherDatabase, serverUrl } from '../database.ts'

const job = defineJob({
  name: 'test.greet',
  summary: 'Greets',
  payload: Type.Object({ name: Type.String() }),
  run: async () => {},
})
const actor = systemActor({ request_id: 'request-1', ip: '192.0.2.7', user_agent: 'curl' })

async function open(t: Test) {
  const { db } = await anotherDatabase(t)
  await installJobs(db, [job])
  return db
}

const stored = async (db: Db) => [
  ...(await allRows<{ id: string; data: object; state: string; singleton_key: string | null }>(
    db,
    sql`select id, data, state, singleton_key from pgboss.job where name = 'test.greet' order by id`,
  )),
]

test('a job is there when its transaction commits, and not otherwise', async t => {
  const db = await open(t)
  const id = await inTransaction(db, tx => enqueue(tx, actor, job, { name: 'A' }))
  await t.rejects(
    inTransaction(db, async tx => {
      await enqueue(tx, actor, job, { name: 'B' })
      throw new Error('planned')
    }),
    /planned/,
  )
  const data = {
    payload: { name: 'A' },
    origin: { request_id: 'request-1', ip: '192.0.2.7', user_agent: 'curl' },
  }
  t.same(await stored(db), [{ id, data, state: 'created', singleton_key: null }])
})

test('while one with a key waits, another is the same; once it has begun, it is new', async t => {
  const db = await open(t)
  const put = (key?: string) =>
    inTransaction(db, tx => enqueue(tx, actor, job, { name: 'A' }, key === undefined ? {} : { key }))
  const first = await put('one')
  t.equal(await put('one'), first)
  t.not(await put('two'), first)
  t.not(await put(), await put(), 'without a key each is another')
  const later = new Date(Date.now() + 60_000)
  const three = (options: object) =>
    inTransaction(db, tx => enqueue(tx, actor, job, { name: 'A' }, { key: 'three', ...options }))
  t.equal(await three({ start_after: later }), await three({ priority: 5 }), 'the one that waits is hastened')
  const [hastened] = await allRows<{ due: boolean; priority: number }>(
    db,
    sql`select start_after <= now() as due, priority from pgboss.job where singleton_key = 'three'`,
  )
  t.match(hastened, { due: true, priority: 5 })
  await db.execute(sql`update pgboss.job set state = 'active' where id = ${first}`)
  t.not(await put('one'), first)
  t.equal((await stored(db)).length, 6)
})

test('parallel ones with one key are one', async t => {
  const db = await open(t)
  const put = () => inTransaction(db, tx => enqueue(tx, actor, job, { name: 'A' }, { key: 'one' }))
  const ids = await Promise.all(Array.from({ length: 30 }, put))
  t.equal(new Set(ids).size, 1)
  t.equal((await stored(db)).length, 1)
})

// Two transactions at once need two connections.
if (serverUrl !== undefined) {
  test('a waiting job that a transaction relies on does not start before it commits', async t => {
    const db = await open(t)
    const put = (tx: Tx) => enqueue(tx, actor, job, { name: 'A' }, { key: 'one' })
    await inTransaction(db, put)
    const take = () =>
      allRows(db, sql`select id from pgboss.job where state = 'created' for update skip locked`)
    await inTransaction(db, async tx => {
      await put(tx)
      t.equal((await take()).length, 0)
    })
    t.equal((await take()).length, 1)
  })
}

test('a job for later is not due', async t => {
  const db = await open(t)
  const start_after = new Date(Date.now() + 60_000)
  await inTransaction(db, tx => enqueue(tx, actor, job, { name: 'A' }, { start_after }))
  t.strictSame(await dueQueues(db), [])
  await inTransaction(db, tx => enqueue(tx, actor, job, { name: 'A' }))
  t.strictSame(await dueQueues(db), ['test.greet'])
})

test('a job without a queue is a mistake that is told', async t => {
  const { db } = await anotherDatabase(t)
  t.equal(await countMissingQueues(db, [job]), 1)
  await t.rejects(inTransaction(db, tx => enqueue(tx, actor, job, { name: 'A' })))
  await installJobs(db, [job])
  t.equal(await countMissingQueues(db, [job]), 0)
})

test('payloads are checked by the compiler', t => {
  const wrong = (tx: Tx) =>
    // @ts-expect-error: a name is text
    enqueue(tx, actor, job, { name: 1 })
  t.equal(wrong.length, 1)
  t.end()
})
