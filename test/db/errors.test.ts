import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { databaseProblem, isConnectionFailure, isRetryable, onConstraint } from '../../src/db/errors.ts'
import { defineProblem } from '../../src/lib/problem.ts'
import { testDatabase } from '../database.ts'

async function failure(statement: ReturnType<typeof sql>): Promise<unknown> {
  const { db } = await testDatabase()
  return db.execute(statement).then(
    () => undefined,
    error => error,
  )
}

const raise = (state: string) => sql.raw(`do $$ begin raise exception 'x' using errcode = '${state}'; end $$`)

test('each kind of failure has its answer, on this driver', async t => {
  const { db } = await testDatabase()
  await db.execute(sql`create table parents (id int primary key)`)
  await db.execute(
    sql`create table children (id int constraint children_known_key unique, parent int references parents, positive int check (positive > 0))`,
  )
  await db.execute(sql`insert into children (id) values (1)`)
  const Taken = defineProblem({ code: 'taken_in_test', status: 409, title: '', explanation: '', remedy: '' })

  t.match(databaseProblem(await failure(sql`insert into parents values (1), (1)`)), { code: 'CONFLICT' })
  t.match(databaseProblem(await failure(sql`insert into children (parent) values (9)`)), { code: 'CONFLICT' })
  t.match(databaseProblem(await failure(sql`insert into children (id) values (1)`)), { code: 'CONFLICT' })
  onConstraint('children_known_key', Taken, 'That child is known.')
  t.match(databaseProblem(await failure(sql`insert into children (id) values (1)`)), {
    code: 'TAKEN_IN_TEST',
    message: 'That child is known.',
  })

  t.match(databaseProblem(await failure(sql`select ${'a\0b'}::text`)), { code: 'INVALID_TEXT' })
  t.match(databaseProblem(await failure(sql`select ${'"\\ud800"'}::jsonb`)), { statusCode: 400 })
  t.match(databaseProblem(await failure(sql`select ${'x'}::int`)), { code: 'VALIDATION_FAILED' })
  t.match(databaseProblem(await failure(sql`select 99999999999::int`)), { code: 'VALIDATION_FAILED' })
  t.equal(databaseProblem(await failure(sql`insert into children (positive) values (-1)`)), undefined)
  t.equal(databaseProblem(await failure(sql`select * from nowhere`)), undefined)
  t.equal(databaseProblem(await failure(sql`selekt`)), undefined)
})

test('states that pass are 503', async t => {
  for (const state of [
    '08006',
    '25006',
    '28P01',
    '3D000',
    '40001',
    '40P01',
    '53300',
    '55P03',
    '57014',
    '57P01',
    '58030',
  ]) {
    const error = await failure(raise(state))
    t.match(databaseProblem(error), { code: 'UNAVAILABLE', statusCode: 503 }, state)
    t.equal(isConnectionFailure(error), true, state)
    t.equal(isRetryable(error), state === '40001' || state === '40P01', state)
  }
  t.equal(isConnectionFailure(await failure(raise('P0001'))), false)
})

test('failures of other sockets are not the database’s', t => {
  t.equal(databaseProblem(Object.assign(new Error('hung up'), { code: 'ECONNRESET' })), undefined)
  t.equal(databaseProblem(Object.assign(new Error('no file'), { code: 'ENOENT' })), undefined)
  t.equal(databaseProblem(new Error('plain')), undefined)
  t.equal(databaseProblem('no error at all'), undefined)
  t.end()
})
