import { sql } from 'drizzle-orm'
import { isMissingTable } from '../db/errors.ts'
import { momentText } from '../db/moments.ts'
import { allRows, firstRow } from '../db/rows.ts'
import type { Db } from '../db/types.ts'
import type { Job } from './job.ts'
import type { JobError } from './leases.ts'

// Looking at the jobs from outside, and tidying up; `leases.ts` is for those who run them.

export const JOB_STATES = ['created', 'retry', 'active', 'completed', 'cancelled', 'failed'] as const
export type JobState = (typeof JOB_STATES)[number]

/** How many of these jobs have no queue yet: they could not be enqueued. */
export async function countMissingQueues(db: Db, jobs: readonly Job[]): Promise<number> {
  const rows = await allRows<{ name: string }>(db, sql`select name from pgboss.queue`).catch(error => {
    if (isMissingTable(error)) return []
    throw error
  })
  const existing = new Set(rows.map(({ name }) => name))
  return jobs.filter(({ name }) => !existing.has(name)).length
}

/** The queues in which something could be started now. */
export async function dueQueues(db: Db): Promise<string[]> {
  const rows = await allRows<{ name: string }>(
    db,
    sql`
      select name from pgboss.queue where exists (
        select from pgboss.job
        where job.name = queue.name and state < 'active' and start_after < now()
      )`,
  )
  return rows.map(({ name }) => name)
}

/** How long the job has been waiting that should have been started first; undefined when none is due. */
export async function longestWaitSeconds(db: Db): Promise<number | undefined> {
  const row = await firstRow<{ seconds: string | null }>(
    db,
    sql`
      select extract(epoch from now() - min(start_after)) as seconds
      from pgboss.job where state < 'active' and start_after < now()`,
  )
  return row?.seconds == null ? undefined : Number(row.seconds)
}

/** What is done stays for an hour, so that it can be counted; what failed waits two weeks for a person. */
export async function deleteOldJobs(db: Db): Promise<void> {
  await db.execute(sql`
    delete from pgboss.job
    where completed_on < now() - case
      when state = 'failed' then interval '14 days'
      -- It says that nothing has to be made up for: see the scheduler.
      when data ? 'scheduled_for' then interval '2 days'
      else interval '1 hour' end
      and state > 'active'`)
}

export interface QueueCounts {
  name: string
  counts: Record<JobState, number>
}

export async function countJobs(db: Db): Promise<QueueCounts[]> {
  const columns = JOB_STATES.map(
    state => sql`${state}::text, count(*) filter (where state = ${state}::pgboss.job_state)`,
  )
  return allRows<QueueCounts>(
    db,
    sql`
      select queue.name, json_build_object(${sql.join(columns, sql`, `)}) as counts
      from pgboss.queue left join pgboss.job on job.name = queue.name
      group by queue.name order by queue.name`,
  )
}

export interface JobRow {
  id: string
  name: string
  state: JobState
  priority: number
  attempts: number
  key: string | null
  payload: Record<string, unknown>
  request_id: string | null
  output: Record<string, unknown> | null
  created_at: string
  start_after: string
  started_at: string | null
  completed_at: string | null
}

/** What `output` tells: of a job that runs, how far it is; of one that failed, why. */
export function outcomeOf({ output }: Pick<JobRow, 'output'>): {
  error: JobError | null
  progress: { done: number; total: number } | null
} {
  const { error, done, total } = (output ?? {}) as { error?: JobError; done?: number; total?: number }
  const progress = done === undefined || total === undefined ? null : { done, total }
  return { error: error ?? null, progress }
}

const isoTime = (column: string) => sql.raw(momentText(column))

const jobColumns = sql`
  job.id, job.name, state, priority, singleton_key as key,
  retry_count + (started_on is not null)::int as attempts,
  data->'payload' as payload, data->'origin'->>'request_id' as request_id, output,
  ${isoTime('job.created_on')} as created_at, ${isoTime('start_after')} as start_after,
  ${isoTime('started_on')} as started_at, ${isoTime('completed_on')} as completed_at`

interface JobFilter {
  name: string | undefined
  state: JobState
  /** Jobs older than this one: their ids are in order of time. */
  before: string | undefined
}

/** Newest first. */
export function listJobs(db: Db, { name, state, before }: JobFilter, limit: number): Promise<JobRow[]> {
  return allRows<JobRow>(
    db,
    sql`
      select ${jobColumns} from pgboss.job
      where state = ${state}::pgboss.job_state
        and ${name === undefined ? sql`true` : sql`name = ${name}`}
        and ${before === undefined ? sql`true` : sql`id < ${before}::uuid`}
      order by id desc limit ${limit}`,
  )
}

/** Through the queues, because the table's key begins with the queue's name. */
export function findJob(db: Db, id: string): Promise<JobRow | undefined> {
  return firstRow<JobRow>(
    db,
    sql`
      select ${jobColumns} from pgboss.queue join pgboss.job on job.name = queue.name
      where job.id = ${id}::uuid`,
  )
}

/** Gives a failed job all its tries again. False if it is not there, or has not failed. */
export async function retryFailedJob(db: Db, id: string): Promise<boolean> {
  const rows = await allRows(
    db,
    sql`
      update pgboss.job
      set state = 'retry', retry_limit = queue.retry_limit, retry_count = 0, started_on = null, completed_on = null,
        start_after = now(), keep_until = now() + interval '10 years'
      from pgboss.queue
      where job.name = queue.name and id = ${id}::uuid and state = 'failed'
      returning id`,
  )
  return rows.length > 0
}

/** False if it is not there, or runs. */
export async function deleteJob(db: Db, id: string): Promise<boolean> {
  const rows = await allRows(
    db,
    sql`
      delete from pgboss.job
      where name in (select name from pgboss.queue) and id = ${id}::uuid and state <> 'active'
      returning id`,
  )
  return rows.length > 0
}
