import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { connect } from '../../src/db/connect.ts'
import { openEmbedded } from '../../src/db/embedded.ts'
import { allRows, firstRow } from '../../src/db/rows.ts'
import { anotherDatabase } from '../database.ts'
import { testConfig } from '../helper.ts'
import { run, temporaryDirectory } from '../processes.ts'

test('a second opener is told so in one sentence, and harms nothing', async t => {
  const directory = join(temporaryDirectory(t), 'data')
  const first = await connect(testConfig({ DATA_DIR: directory }))
  t.equal(first.kind, 'embedded')
  await first.db.execute(sql`create table kept (id int)`)

  await t.rejects(openEmbedded(directory), {
    exitCode: 75,
    message: new RegExp(`in use .*pid ${process.pid}`),
  })
  const other = run(t, 'src/server.ts', { DATA_DIR: directory, PORT: '0' })
  t.equal((await other.exit).code, 75)
  t.equal(other.output().trim().split('\n').length, 1)
  t.match(other.output(), /in use by another process \(pid \d+\)/)

  await first.db.execute(sql`insert into kept values (1)`)
  await first.close()
  const again = await openEmbedded(directory)
  t.teardown(() => again.close())
  t.match(await firstRow(again.db, sql`select id from kept`), { id: 1 })
})

test('what was acknowledged survives kill -9, and the lock does not', async t => {
  const directory = join(temporaryDirectory(t), 'data')
  const acknowledged = new Set<number>()
  for (let round = 0; round < 3; round++) {
    const writer = run(t, 'test/db/embedded-writer.ts', { DATA_DIR: directory })
    const enough = 20 + round * 7
    await writer.logged(`acknowledged ${enough}`)
    writer.child.kill('SIGKILL')
    await writer.exit
    for (const [, id] of writer.output().matchAll(/"id":(\d+)/g)) acknowledged.add(Number(id))
  }
  const database = await openEmbedded(directory)
  t.teardown(() => database.close())
  const found = new Set(
    (await allRows<{ id: number }>(database.db, sql`select id from written`)).map(row => row.id),
  )
  t.ok(acknowledged.size >= 60)
  t.strictSame(
    [...acknowledged].filter(id => !found.has(id)),
    [],
  )
})

test('a directory that lost its database is not started over', async t => {
  const directory = join(temporaryDirectory(t), 'data')
  mkdirSync(join(directory, 'database', 'base'), { recursive: true })
  await t.rejects(openEmbedded(directory), { message: /holds no database/ })
})

test('a database whose making was interrupted is made again', async t => {
  const directory = join(temporaryDirectory(t), 'data')
  mkdirSync(join(directory, 'database.new'), { recursive: true })
  writeFileSync(join(directory, 'database.new', 'PG_VERSION'), 'half of it')
  const database = await openEmbedded(directory)
  t.match(await firstRow(database.db, sql`select 1 as one`), { one: 1 })
  await database.close()
  t.notOk(existsSync(join(directory, 'database.new')))
})

test('statement after statement leaves room for everything else', async t => {
  const { db } = await anotherDatabase(t)
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  t.teardown(() => clearInterval(timer))
  for (let count = 0; count < 300; count++) await db.execute(sql`select 1`)
  t.ok(turns > 3, `${turns} turns`)
})
