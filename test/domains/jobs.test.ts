import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Db } from '../../src/db/types.ts'
import { enqueue } from '../../src/jobs/enqueue.ts'
import { installJobs } from '../../src/jobs/install.ts'
import { defineJob } from '../../src/jobs/job.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { newId } from '../../src/lib/id.ts'
import { testDatabase } from '../database.ts'
import { aUser, build, signedIn } from '../helper.ts'

const job = defineJob({
  name: 'test.administered',
  summary: 'Is looked after',
  payload: Type.Object({ number: Type.Integer() }),
  run: async () => {},
})

const path = '/api/v1/admin/jobs'
const origin = { request_id: 'request-1', ip: null, user_agent: null }

async function open(): Promise<Db> {
  const { db } = await testDatabase()
  await installJobs(db, [job])
  return db
}

async function put(db: Db, state: 'created' | 'active' | 'failed'): Promise<string> {
  const id = await inTransaction(db, tx => enqueue(tx, systemActor(origin), job, { number: 1 }))
  if (state === 'active')
    await db.execute(sql`update pgboss.job set state = 'active', started_on = now() where id = ${id}`)
  if (state === 'failed') {
    await db.execute(sql`
      update pgboss.job set state = 'failed', started_on = now(), completed_on = now(), retry_count = 10,
        output = '{"error": {"type": "Error", "message": "the other side hung up", "code": "ECONNRESET"}}'
      where id = ${id}`)
  }
  return id
}

test('only administrators', async t => {
  const app = await build(t)
  const id = await put(await open(), 'failed')
  for (const [method, url] of [
    ['GET', path],
    ['POST', `${path}/${id}/retry`],
    ['DELETE', `${path}/${id}`],
  ] as const) {
    t.equal((await app.inject({ method, url })).statusCode, 401)
    t.equal((await app.inject({ method, url, headers: await signedIn(app, 'user') })).statusCode, 403)
  }
})

test('counts by queue and state, and the failed ones with their error', async t => {
  const app = await build(t)
  const db = await open()
  await db.execute(sql`delete from pgboss.job where name = ${job.name}`)
  await put(db, 'created')
  await put(db, 'created')
  await put(db, 'active')
  const id = await put(db, 'failed')
  const list = async (query = '') =>
    (await app.inject({ url: `${path}?name=${job.name}${query}`, headers: await signedIn(app) })).json()
  const { queues, data, pagination } = await list()
  t.match(
    queues.find(({ name }: { name: string }) => name === job.name),
    { summary: null, counts: { created: 2, retry: 0, active: 1, completed: 0, cancelled: 0, failed: 1 } },
  )
  t.match(
    queues.find(({ name }: { name: string }) => name === 'audit.seal'),
    { summary: /Seals/ },
    'a job of this release says what it does',
  )
  t.equal(data.length, 1)
  const { created_at, start_after, started_at, completed_at, ...shown } = data[0]
  for (const time of [created_at, start_after, started_at, completed_at]) {
    t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  }
  t.strictSame(shown, {
    id,
    name: job.name,
    state: 'failed',
    priority: 0,
    attempts: 11,
    key: null,
    payload: { number: 1 },
    request_id: 'request-1',
    error: { type: 'Error', message: 'the other side hung up', code: 'ECONNRESET' },
    progress: null,
  })
  t.strictSame(pagination, { per_page: 20, has_next: false, next_cursor: null })

  const first = await list('&state=created&per_page=1')
  const second = await list(`&state=created&per_page=1&cursor=${first.pagination.next_cursor}`)
  t.equal(second.pagination.has_next, false)
  t.equal(new Set([first.data[0].id, second.data[0].id]).size, 2)
  t.equal((await list('&state=lost')).code, 'validation_failed')
  t.equal((await list('&cursor=x')).code, 'invalid_cursor')
})

test('a failed job can be retried, once; and that is recorded', async t => {
  const app = await build(t)
  const db = await open()
  const id = await put(db, 'failed')
  const admin = await aUser(app, 'admin')
  const retry = (job: string) =>
    app.inject({ method: 'POST', url: `${path}/${job}/retry`, headers: admin.headers })
  const answer = await retry(id)
  t.equal(answer.statusCode, 200)
  t.match(answer.json(), { id, state: 'retry', attempts: 0, completed_at: null })
  t.match((await retry(id)).json(), { code: 'conflict', status: 409 })
  t.match((await retry(await put(db, 'active'))).json(), { code: 'conflict' })
  t.match((await retry(newId())).json(), { code: 'not_found', status: 404 })
  t.match((await retry('x')).json(), { code: 'validation_failed', status: 400 })
  const events = await app.inject({ url: `/api/v1/audit?actor_id=${admin.id}`, headers: admin.headers })
  t.match(events.json().data, [
    { type: 'job.retried', subject: { type: 'job', id }, changes: { state: ['failed', 'retry'] } },
  ])
  t.equal(events.json().data.length, 1, 'what was refused changed nothing')
})

test('a job that does not run can be deleted', async t => {
  const app = await build(t)
  const db = await open()
  const admin = await aUser(app, 'admin')
  const remove = (job: string) =>
    app.inject({ method: 'DELETE', url: `${path}/${job}`, headers: admin.headers })
  const id = await put(db, 'failed')
  const answer = await remove(id)
  t.equal(answer.statusCode, 204)
  t.equal(answer.body, '')
  t.match((await remove(id)).json(), { code: 'not_found', status: 404 })
  t.equal((await remove(await put(db, 'created'))).statusCode, 204)
  t.match((await remove(await put(db, 'active'))).json(), { code: 'conflict', status: 409 })
  t.match((await remove('x')).json(), { code: 'validation_failed', status: 400 })
  const events = await app.inject({ url: `/api/v1/audit?actor_id=${admin.id}`, headers: admin.headers })
  t.equal(events.json().data.length, 2)
})
