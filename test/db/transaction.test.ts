import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { allRows, firstRow } from '../../src/db/rows.ts'
import { afterCommit, inTransaction } from '../../src/db/transaction.ts'
import { testDatabase } from '../database.ts'
import { build, probe } from '../helper.ts'

const lost = sql`do $$ begin raise exception 'lost' using errcode = '40001'; end $$`

test('what is done in a transaction is kept whole or not at all', async t => {
  const { db } = await testDatabase()
  await db.execute(sql`create table kept (id int)`)
  const result = await inTransaction(db, async tx => {
    await tx.execute(sql`insert into kept values (1)`)
    return 'done'
  })
  t.equal(result, 'done')
  const failing = inTransaction(db, async tx => {
    await tx.execute(sql`insert into kept values (2)`)
    throw new Error('changed my mind')
  })
  await t.rejects(failing, { message: 'changed my mind' })
  const rows = await allRows<{ id: number }>(db, sql`select id from kept`)
  t.strictSame(
    rows.map(row => row.id),
    [1],
  )
})

test('one that lost to another is tried again', async t => {
  const { db } = await testDatabase()
  let attempts = 0
  const row = await inTransaction(db, async tx => {
    if (++attempts === 1) await tx.execute(lost)
    return firstRow(tx, sql`select 1 as one`)
  })
  t.match(row, { one: 1 })
  t.equal(attempts, 2)
})

test('one that loses every time is told to come back', async t => {
  let attempts = 0
  const app = await build(t, {
    routes: async app => {
      app.get('/unlucky', probe('unlucky'), async () =>
        inTransaction(app.database.db, async tx => {
          attempts++
          await tx.execute(lost)
        }),
      )
    },
  })
  const response = await app.inject('/unlucky')
  t.equal(response.statusCode, 503)
  t.ok(Number(response.headers['retry-after']) > 0)
  t.equal(attempts, 3)
})

test('what is to follow a commit follows it, once', async t => {
  const { db } = await testDatabase()
  await db.execute(sql`create table followed (id int)`)
  const done: number[] = []
  let attempts = 0
  await inTransaction(db, async tx => {
    const attempt = ++attempts
    afterCommit(tx, () => done.push(attempt))
    if (attempt === 1) await tx.execute(lost)
    await tx.execute(sql`insert into followed values (1)`)
    t.strictSame(done, [])
  })
  t.strictSame(done, [2])
  t.equal((await allRows(db, sql`select id from followed`)).length, 1)
})

test('nothing follows a rollback', async t => {
  const { db } = await testDatabase()
  const done: string[] = []
  const failing = inTransaction(db, async tx => {
    afterCommit(tx, () => done.push('rolled back'))
    throw new Error('changed my mind')
  })
  await t.rejects(failing, { message: 'changed my mind' })
  await inTransaction(db, async tx => afterCommit(tx, () => done.push('committed')))
  t.strictSame(done, ['committed'])
})

test('what is to follow a part of a transaction waits for the whole', async t => {
  const { db } = await testDatabase()
  const done: string[] = []
  await inTransaction(db, async tx => {
    await inTransaction(tx, async part => afterCommit(part, () => done.push('kept part')))
    const failing = inTransaction(tx, async part => {
      afterCommit(part, () => done.push('lost part'))
      throw new Error('changed my mind')
    })
    await t.rejects(failing, { message: 'changed my mind' })
    t.strictSame(done, [])
  })
  t.strictSame(done, ['kept part'])
})

test('nothing can be told to follow a transaction that we do not see the end of', async t => {
  const { db } = await testDatabase()
  await db.transaction(async tx => {
    t.throws(() => afterCommit(tx, () => {}), { message: /inTransaction/ })
  })
})
