import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { isConnectionFailure } from '../../src/db/errors.ts'
import { firstRow } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Database, Db } from '../../src/db/types.ts'
import { enqueue } from '../../src/jobs/enqueue.ts'
import { installJobs } from '../../src/jobs/install.ts'
import { defineJob, type Job, type JobContext, PermanentFailure } from '../../src/jobs/job.ts'
import { completeJob, endLeases, failJob, renewLeases, returnJob, takeJobs } from '../../src/jobs/leases.ts'
import { findJob, type JobRow, retryFailedJob } from '../../src/jobs/queries.ts'
import { startRunner } from '../../src/jobs/runner.ts'
import { createScheduler } from '../../src/jobs/schedule.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { serverUrl, testDatabase } from '../database.ts'
import { recordingLogger, testConfig } from '../helper.ts'

const Numbered = Type.Object({ number: Type.Integer() }, { additionalProperties: false })
const origin = { request_id: 'request-1', ip: '192.0.2.7', user_agent: 'curl' }

let kinds = 0

/** A job whose runs the test decides, and can wait for. */
function scriptedJob(
  script: (number: number, context: JobContext) => Promise<void>,
  options: Partial<Job<typeof Numbered>> = {},
) {
  const runs: { number: number; context: JobContext }[] = []
  let look = () => {}
  const job = defineJob({
    // The tests share a database: a kind of its own keeps each apart.
    name: `test.work-${++kinds}`,
    summary: 'Works',
    payload: Numbered,
    backoff_seconds: 0,
    ...options,
    async run({ number }, context) {
      runs.push({ number, context })
      look()
      await script(number, context)
    },
  })
  const begun = (count: number) =>
    new Promise<void>(resolve => {
      look = () => runs.length >= count && resolve()
      look()
    })
  return { job, runs, begun }
}

async function start(t: Test, database: Database, jobs: readonly Job[]) {
  const { logger, lines, text } = recordingLogger()
  await installJobs(database.db, jobs)
  const runner = startRunner({ config: testConfig(), database, logger, jobs })
  t.teardown(() => runner.stop(0))
  return { runner, lines, text }
}

const put = (db: Db, job: Job<typeof Numbered>, number: number, options = {}) =>
  inTransaction(db, tx => enqueue(tx, systemActor(origin), job, { number }, options))

/** Looks again and again until the job is as it should be. */
async function becomes(db: Db, id: string, expected: (job: JobRow) => boolean): Promise<JobRow> {
  for (;;) {
    const job = await untilItWorks(() => findJob(db, id))
    if (job !== undefined && expected(job)) return job
    // So that others get a turn; the embedded database would sleep for the whole process.
    if (serverUrl !== undefined) await firstRow(db, sql`select pg_sleep(0.01)`).catch(() => {})
  }
}

async function untilItWorks<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!isConnectionFailure(error)) throw error
    }
  }
}

const nothing = async () => {}

test('a job runs once, with its payload, on behalf of the request that led to it', async t => {
  const database = await testDatabase()
  const { job, runs } = scriptedJob(nothing)
  const { lines } = await start(t, database, [job])
  const id = await put(database.db, job, 7)
  await becomes(database.db, id, ({ state }) => state === 'completed')
  t.equal(runs.length, 1)
  t.match(runs[0], { number: 7, context: { id, attempt: 1, actor: { type: 'system', id: null, origin } } })
  // It is logged once the outcome is written, which others may see before we know.
  const logged = () => lines().find(({ msg }) => msg === 'job done')
  while (logged() === undefined) await new Promise(setImmediate)
  t.match(logged(), { job: job.name, job_id: id, request_id: 'request-1' })
})

test('a failure is tried again, and then succeeds', async t => {
  const database = await testDatabase()
  const { job, runs } = scriptedJob(async (_number, { attempt }) => {
    if (attempt < 3) throw new Error('planned')
  })
  await start(t, database, [job])
  const id = await put(database.db, job, 1)
  const { attempts } = await becomes(database.db, id, ({ state }) => state === 'completed')
  t.equal(attempts, 3)
  t.strictSame(
    runs.map(({ context }) => context.attempt),
    [1, 2, 3],
  )
})

test('the wait before a retry grows', async t => {
  const database = await testDatabase()
  const { job } = scriptedJob(
    async () => {
      throw new Error('planned')
    },
    { backoff_seconds: 100 },
  )
  await start(t, database, [job])
  const id = await put(database.db, job, 1)
  const first = await becomes(database.db, id, ({ state }) => state === 'retry')
  const wait = (Date.parse(first.start_after) - Date.now()) / 1000
  t.ok(wait > 90 && wait <= 200, `${wait} s`)
  await database.db.execute(sql`update pgboss.job set start_after = now() where id = ${id}`)
  const second = await becomes(database.db, id, ({ state, attempts }) => state === 'retry' && attempts === 2)
  const longer = (Date.parse(second.start_after) - Date.now()) / 1000
  t.ok(longer > 190 && longer <= 400, `${longer} s`)
})

test('what fails to the last stays, with its error but without its SQL; and can be retried', async t => {
  const database = await testDatabase()
  let broken = true
  const { job, runs } = scriptedJob(
    async () => {
      if (broken) await database.db.execute(sql`select planted from nowhere`)
    },
    { retries: 1 },
  )
  const dead = scriptedJob(nothing, { name: 'test.bury' })
  const { lines } = await start(t, database, [{ ...job, dead_letter: dead.job }, dead.job])
  const id = await put(database.db, { ...job, dead_letter: dead.job }, 5)
  const failed = await becomes(database.db, id, ({ state }) => state === 'failed')
  t.equal(runs.length, 2)
  t.match(failed.output, { error: { message: 'relation "nowhere" does not exist', code: '42P01' } })
  t.notMatch(JSON.stringify(failed), /planted/)
  t.ok(lines().some(({ msg, level }) => msg === 'job failed for good' && level === 50))
  await dead.begun(1)
  t.match(await findJob(database.db, dead.runs[0]?.context.id ?? ''), { request_id: 'request-1' })
  t.match(dead.runs, [{ number: 5, context: { actor: { origin } } }], 'the dead letter has the same payload')

  broken = false
  t.ok(await retryFailedJob(database.db, id))
  t.notOk(await retryFailedJob(database.db, id), 'it is no longer failed')
  const { attempts, output } = await becomes(database.db, id, ({ state }) => state === 'completed')
  t.equal(attempts, 1)
  t.equal(output, null)
})

test('a failure that no try can mend is the last', async t => {
  const database = await testDatabase()
  const { job, runs } = scriptedJob(async () => {
    throw new PermanentFailure('no such address')
  })
  await start(t, database, [job])
  const id = await put(database.db, job, 1)
  const { output } = await becomes(database.db, id, ({ state }) => state === 'failed')
  t.match(output, { error: { type: 'PermanentFailure', message: 'no such address' } })
  t.equal(runs.length, 1)
})

test('a payload of another release fails at once and is not run', async t => {
  const database = await testDatabase()
  const { job, runs } = scriptedJob(nothing)
  await start(t, database, [job])
  const id = await put(database.db, job, 1, { start_after: new Date(Date.now() + 60_000) })
  await database.db.execute(
    sql`update pgboss.job set data = jsonb_set(data, '{payload}', '{"name": "x"}'), start_after = now() - interval '1 s' where id = ${id}`,
  )
  const { output } = await becomes(database.db, id, ({ state }) => state === 'failed')
  t.match(output, { error: { message: /payload does not fit/ } })
  t.equal(runs.length, 0)
})

test('no more run at once than the job allows, and those of higher priority first', async t => {
  const database = await testDatabase()
  let now = 0
  let most = 0
  const { job, runs } = scriptedJob(
    async () => {
      most = Math.max(most, ++now)
      await firstRow(database.db, sql`select pg_sleep(0.02)`)
      now--
    },
    { concurrency: 2 },
  )
  await installJobs(database.db, [job])
  const ids = []
  for (let number = 0; number < 8; number++) {
    ids.push(await put(database.db, job, number, { priority: number === 7 ? 10 : 0 }))
  }
  await start(t, database, [job])
  for (const id of ids) await becomes(database.db, id, ({ state }) => state === 'completed')
  t.equal(most, 2)
  t.strictSame(new Set(runs.slice(0, 2).map(({ number }) => number)), new Set([7, 0]))
})

test('a running job tells how far it is', async t => {
  const database = await testDatabase()
  let finish = () => {}
  const { job } = scriptedJob(
    (_number, { progress }) =>
      new Promise(resolve => {
        progress(30, 120)
        finish = resolve
      }),
  )
  await start(t, database, [job])
  const id = await put(database.db, job, 1)
  const running = await becomes(database.db, id, ({ output }) => output?.done !== undefined)
  t.match(running, { state: 'active', output: { done: 30, total: 120 } })
  finish()
  const done = await becomes(database.db, id, ({ state }) => state === 'completed')
  t.equal(done.output, null)
})

/** As if the last renewal had been an hour ago. */
const outliveLease = (db: Db, id: string) =>
  db.execute(sql`update pgboss.job set started_on = now() - interval '1 hour' where id = ${id}`)

test('the job of a worker that died is another’s when its lease is over, and not before', async t => {
  const database = await testDatabase()
  const { db } = database
  const { job, runs } = scriptedJob(nothing, { retries: 0, backoff_seconds: 1000 })
  await installJobs(db, [job])
  const id = await put(db, job, 1)
  // Taken, and never heard of again.
  t.equal((await takeJobs(db, job.name, 5)).length, 1)
  t.equal((await inTransaction(db, tx => endLeases(tx, [job.name]))).length, 0, 'the lease still runs')
  await outliveLease(db, id)
  await start(t, database, [job])
  await becomes(db, id, ({ state }) => state === 'completed')
  t.match(runs, [{ context: { attempt: 2 } }], 'at once, and also if there are no retries: it has not failed')
})

test('a job that kills every worker fails in the end, and says why', async t => {
  const { db } = await testDatabase()
  const { job } = scriptedJob(nothing, { retries: 1 })
  await installJobs(db, [job])
  const id = await put(db, job, 1)
  for (let deaths = 1; deaths <= 5; deaths++) {
    t.equal((await takeJobs(db, job.name, 5)).length, 1, `death ${deaths}`)
    await outliveLease(db, id)
    await inTransaction(db, tx => endLeases(tx, [job.name]))
  }
  t.match(await findJob(db, id), { state: 'failed', attempts: 5, output: { error: { type: 'WorkerLost' } } })
})

test('a worker that was given up for dead cannot spoil the job for the one that has it now', async t => {
  const { db } = await testDatabase()
  const { job } = scriptedJob(nothing)
  await installJobs(db, [job])
  const id = await put(db, job, 1)
  const [late] = await takeJobs(db, job.name, 1)
  await outliveLease(db, id)
  await inTransaction(db, tx => endLeases(tx, [job.name]))
  const [present] = await takeJobs(db, job.name, 1)
  t.not(present?.lease, late?.lease)
  const lease = { name: job.name, id, lease: late?.lease ?? '' }
  const error = { type: 'Error', message: 'late' }
  await inTransaction(db, tx => failJob(tx, lease, error, true))
  await returnJob(db, lease)
  await completeJob(db, lease)
  await renewLeases(db, [{ ...lease, lease_seconds: 1, progress: { done: 1, total: 2 } }])
  t.match(await findJob(db, id), { state: 'active', attempts: 2, output: { lease: present?.lease } })
  t.notMatch((await findJob(db, id))?.output, { done: 1 })
})

test('a living worker renews its lease', async t => {
  const database = await testDatabase()
  let finish = () => {}
  const { job, runs } = scriptedJob(
    () =>
      new Promise(resolve => {
        finish = resolve
      }),
    { lease_seconds: 6 },
  )
  await start(t, database, [job])
  const id = await put(database.db, job, 1)
  const { started_at: first } = await becomes(database.db, id, ({ state }) => state === 'active')
  await becomes(database.db, id, ({ started_at }) => started_at !== first)
  finish()
  await becomes(database.db, id, ({ state }) => state === 'completed')
  t.equal(runs.length, 1)
})

test('told to stop, it lets jobs finish, and gives back those that do not', async t => {
  const database = await testDatabase()
  const finishing: (() => void)[] = []
  const { job, runs, begun } = scriptedJob(
    number =>
      new Promise(resolve => {
        if (number === 1) finishing.push(resolve)
      }),
    { concurrency: 5 },
  )
  const { runner, lines } = await start(t, database, [job])
  const quick = await put(database.db, job, 1)
  const endless = await put(database.db, job, 2)
  await begun(2)
  const late = await put(database.db, job, 3, { start_after: new Date(Date.now() + 3_600_000) })
  const stopped = runner.stop(300)
  t.ok(runs.every(({ context }) => context.signal.aborted))
  for (const finish of finishing) finish()
  await stopped
  t.equal((await findJob(database.db, quick))?.state, 'completed')
  t.match(await findJob(database.db, endless), { state: 'retry', attempts: 0, output: null })
  t.equal((await findJob(database.db, late))?.state, 'created')
  t.ok(lines().some(({ msg }) => /goes back/.test(msg)))
})

test('a job that ends early because it was told to is given back, not failed', async t => {
  const database = await testDatabase()
  const { job, begun } = scriptedJob(
    (_number, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('told')))),
  )
  const { runner, text } = await start(t, database, [job])
  const id = await put(database.db, job, 1)
  await begun(1)
  await runner.stop(5_000)
  t.match(await findJob(database.db, id), { state: 'retry', attempts: 0, output: null })
  t.notMatch(text(), /job failed/)
})

// The embedded database has no connection to lose.
if (serverUrl !== undefined) {
  test('a database that drops every connection in the middle of a job costs nothing', async t => {
    const database = await testDatabase()
    const { job, runs } = scriptedJob(async number => {
      if (number > 5) return
      await database.db.execute(sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`)
    })
    await start(t, database, [job])
    const ids: string[] = []
    for (let number = 1; number <= 10; number++)
      ids.push(await untilItWorks(() => put(database.db, job, number)))
    for (const id of ids) await becomes(database.db, id, ({ state }) => state === 'completed')
    t.equal(new Set(runs.map(({ number }) => number)).size, 10)
  })
}

test('what is scheduled is enqueued once, however many workers there are', async t => {
  const { db } = await testDatabase()
  const { job } = scriptedJob(nothing)
  const hourly = { ...job, payload: Type.Object({}), schedule: '0 * * * *' }
  await installJobs(db, [hourly])
  const count = async () =>
    (
      await firstRow<{ count: number }>(
        db,
        sql`select count(*)::int as count from pgboss.job where name = ${job.name}`,
      )
    )?.count
  const [one, other] = [createScheduler(db, [hourly]), createScheduler(db, [hourly])]
  await one(new Date('2026-03-01T09:59:00Z'))
  t.equal(await count(), 1, 'the last of what fell due within a day is made up for')
  await Promise.all([one(new Date('2026-03-01T10:00:05Z')), other(new Date('2026-03-01T10:00:06Z'))])
  t.equal(await count(), 2)
  await other(new Date('2026-03-01T10:59:59Z'))
  t.equal(await count(), 2)
  await one(new Date('2026-03-01T13:30:00Z'))
  t.equal(await count(), 3, 'of three that were missed, one is run')
  await createScheduler(db, [hourly])(new Date('2026-03-01T13:29:00Z'))
  t.equal(await count(), 3, 'a worker that starts anew makes up for what was missed, but not twice')
  await one(new Date('2026-03-01T14:00:00Z'))
  await one(new Date('2026-03-01T14:00:10Z'))
  t.equal(await count(), 4, 'what falls due at the very moment of a look is not forgotten')
})
