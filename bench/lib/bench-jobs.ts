import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { allRows, firstRow } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Database, Db } from '../../src/db/types.ts'
import { enqueue } from '../../src/jobs/enqueue.ts'
import { installJobs } from '../../src/jobs/install.ts'
import { defineJob, type Job } from '../../src/jobs/job.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { prepareDatabase } from '../../src/prepare.ts'

export const LEASE_SECONDS = 3
export const BACKOFF_SECONDS = 1

const WORK_MS = 10

/** One beginning of one job. */
export interface Run {
  number: number
  attempt: number
  worker: number
  /** Milliseconds since 1970. */
  began: number
}

/** A job that leaves a row each time it begins, so that what ran twice is seen. */
export function numberedJob(onRun: () => void = () => {}): Job {
  return defineJob({
    name: 'bench.number',
    summary: 'Writes down its number',
    payload: Type.Object({ number: Type.Integer() }),
    lease_seconds: LEASE_SECONDS,
    backoff_seconds: BACKOFF_SECONDS,
    concurrency: 8,
    async run({ number }, { database, attempt }) {
      await database.db.execute(
        sql`insert into bench_runs values (${number}, ${attempt}, ${process.pid}, ${Date.now()})`,
      )
      onRun()
      await sleep(WORK_MS)
    },
  })
}

export async function prepareJobs(database: Database, job: Job): Promise<void> {
  await prepareDatabase(database)
  await installJobs(database.db, [job])
  await database.db.execute(
    sql`create table if not exists bench_runs (number integer, attempt integer, worker integer, began bigint)`,
  )
}

export async function enqueueNumbers(db: Db, job: Job, count: number): Promise<void> {
  await inTransaction(db, async tx => {
    for (let number = 0; number < count; number++) await enqueue(tx, systemActor(), job, { number })
  })
}

export async function countUnfinished(db: Db, { name }: Job): Promise<number> {
  const row = await firstRow<{ count: number }>(
    db,
    sql`select count(*)::int as count from pgboss.job where name = ${name} and state not in ('completed', 'failed')`,
  )
  return row?.count ?? 0
}

export async function countCompleted(db: Db, { name }: Job): Promise<number> {
  const row = await firstRow<{ count: number }>(
    db,
    sql`select count(*)::int as count from pgboss.job where name = ${name} and state = 'completed'`,
  )
  return row?.count ?? 0
}

export async function readRuns(db: Db): Promise<Run[]> {
  const rows = await allRows<Run>(
    db,
    sql`select number, attempt, worker, began from bench_runs order by began`,
  )
  // One driver answers a bigint with text.
  return rows.map(row => ({ ...row, began: Number(row.began) }))
}
