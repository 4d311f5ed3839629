import { setTimeout as wait } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { defer } from '../../src/db/deferral.ts'
import { executePrepared, executeText } from '../../src/db/raw.ts'
import { allRows } from '../../src/db/rows.ts'
import { afterCommit, inTransaction, writeInOneStatement } from '../../src/db/transaction.ts'
import type { Db } from '../../src/db/types.ts'
import { testDatabase } from '../database.ts'

const { db } = await testDatabase()
await db.execute(sql`create table if not exists deferred (name text not null)`)

const add = (on: Db, name: string) => on.execute(sql`insert into deferred values (${name})`)
const names = async (on: Db) => {
  const rows = await allRows<{ name: string }>(on, sql`select name from deferred order by name`)
  return rows.map(({ name }) => name)
}
const nothing = async () => {}

test('what was done is seen by itself, however it asks, and by others once it is committed', async t => {
  await db.execute(sql`truncate deferred`)
  const deferral = defer(db)
  const called: string[] = []
  await inTransaction(deferral.db, async tx => {
    await add(tx, 'a')
    afterCommit(tx, () => called.push('a'))
  })
  await writeInOneStatement(deferral.db, 'insert into deferred values ($1)', ['b'])
  t.strictSame(await names(deferral.db), ['a', 'b'])
  t.equal((await executePrepared(deferral.db, 'select from deferred', [])).length, 2)
  t.equal((await executeText(deferral.db, 'select from deferred where name <> $1', [''])).rows.length, 2)
  t.equal((await deferral.db.select({ name: sql`name` }).from(sql`deferred`)).length, 2)
  t.strictSame(called, [])
  await deferral.commit(async last => {
    t.strictSame(await names(last), ['a', 'b'])
    await add(last, 'c')
    t.strictSame(called, [])
  })
  t.strictSame(called, ['a'])
  t.strictSame(await names(db), ['a', 'b', 'c'])
  await t.rejects(inTransaction(deferral.db, nothing), /has been committed/)
  await t.rejects(deferral.commit(nothing), /has been committed/)
})

test('nothing is held before the first transaction, nor after one that failed', async t => {
  await db.execute(sql`truncate deferred`)
  const deferral = defer(db)
  t.strictSame(await names(deferral.db), [])
  const fail = async () => {
    throw new Error('on purpose')
  }
  await t.rejects(inTransaction(deferral.db, fail), /on purpose/)
  // An embedded database has one connection; who asks it here would wait for ever.
  await add(db, 'elsewhere')
  t.strictSame(await names(deferral.db), ['elsewhere'])
  await deferral.commit(async last => {
    await add(last, 'last')
  })
  t.strictSame(await names(db), ['elsewhere', 'last'])
})

test('of several, one that fails takes nothing else along', async t => {
  await db.execute(sql`truncate deferred`)
  const deferral = defer(db)
  const called: string[] = []
  const work = (name: string, fails = false) =>
    inTransaction(deferral.db, async tx => {
      await add(tx, name)
      afterCommit(tx, () => called.push(name))
      if (fails) throw new Error('on purpose')
    })
  await work('first')
  await t.rejects(work('second', true), /on purpose/)
  // At once, too.
  await Promise.all([work('third'), t.rejects(work('fourth', true)), work('fifth')])
  await deferral.commit(nothing)
  t.strictSame(await names(db), ['fifth', 'first', 'third'])
  t.strictSame(called, ['first', 'third', 'fifth'])
})

test('all is undone together, or when what is added last fails', async t => {
  await db.execute(sql`truncate deferred`)
  const called: string[] = []
  for (const end of ['rollBack', 'commit'] as const) {
    const deferral = defer(db)
    await inTransaction(deferral.db, async tx => {
      await add(tx, end)
      afterCommit(tx, () => called.push(end))
    })
    const fails = async () => {
      throw new Error('on purpose')
    }
    if (end === 'rollBack') await deferral.rollBack()
    else await t.rejects(deferral.commit(fails), /on purpose/)
    t.strictSame(await names(db), [])
    await t.rejects(inTransaction(deferral.db, nothing))
    await deferral.rollBack()
  }
  t.strictSame(called, [])
})

test('who pauses too long is undone, and lets the others go on', async t => {
  await db.execute(sql`truncate deferred`)
  const deferral = defer(db, { longest_pause_ms: 50 })
  await inTransaction(deferral.db, async tx => {
    await add(tx, 'slow')
    // Longer than the pause, which only begins when this is done.
    await wait(100)
  })
  await inTransaction(deferral.db, tx => add(tx, 'at once'))
  t.strictSame(await names(deferral.db), ['at once', 'slow'])
  await wait(150)
  t.strictSame(await names(db), [])
  await t.rejects(deferral.commit(nothing), /took too long/)
  await t.rejects(inTransaction(deferral.db, nothing), /took too long/)
})
