import { type SQL, sql } from 'drizzle-orm'
import { allRows } from '../db/rows.ts'
import type { Db, Tx } from '../db/types.ts'
import type { Origin } from '../lib/actor.ts'

// From taking a job to its outcome. A lease is a random id that only its holder knows: whoever was given up for dead and
// comes back late finds that it no longer matches, and can do no harm to the one who has the job now.

/** More deaths of its worker than this, beyond the tries that a job has, and it is the job that kills them. */
const DEATHS_ALLOWED = 3

export interface TakenJob {
  id: string
  lease: string
  data: { payload: unknown; origin: Origin } | null
  /** Tries before this one. */
  retry_count: number
  retry_limit: number
}

export interface Lease {
  name: string
  id: string
  lease: string
}

export interface JobError {
  type: string
  message: string
  code?: unknown
}

/** The jobs of a queue that are due, those of higher priority first. */
export function takeJobs(db: Db, name: string, limit: number): Promise<TakenJob[]> {
  return allRows<TakenJob>(
    db,
    sql`
      with due as (
        select id from pgboss.job
        where name = ${name} and state < 'active' and start_after < now()
        order by priority desc, created_on, id
        limit ${limit}
        for update skip locked
      )
      update pgboss.job
      set state = 'active', started_on = now(), output = jsonb_build_object('lease', gen_random_uuid()),
        retry_count = retry_count + (started_on is not null)::int
      from due
      where job.name = ${name} and job.id = due.id
      returning job.id, output->>'lease' as lease, data, retry_count, retry_limit`,
  )
}

/** Keeps running jobs from being given to another worker, and tells how far they are. */
export async function renewLeases(
  db: Db,
  leases: readonly (Lease & { lease_seconds: number; progress: object })[],
): Promise<void> {
  await db.execute(sql`
    update pgboss.job
    set started_on = now(), expire_in = held.lease_seconds * interval '1 s',
      output = held.progress || jsonb_build_object('lease', held.lease)
    from json_to_recordset(${JSON.stringify(leases)}::json)
      as held (name text, id uuid, lease text, lease_seconds int, progress jsonb)
    where job.name = held.name and job.id = held.id and state = 'active' and output->>'lease' = held.lease`)
}

export async function completeJob(db: Db, lease: Lease): Promise<void> {
  await db.execute(sql`
    update pgboss.job set state = 'completed', completed_on = now(), output = null where ${isHeld(lease)}`)
}

/** Gives a job back, as if it had not been started. */
export async function returnJob(db: Db, lease: Lease): Promise<void> {
  await db.execute(sql`
    update pgboss.job set state = 'retry', started_on = null, start_after = now(), output = null
    where ${isHeld(lease)}`)
}

/** Puts a job off until its next try, or, if there is none, says that it failed. Returns whether it did. */
export async function failJob(tx: Tx, lease: Lease, error: JobError, last: boolean): Promise<boolean> {
  const rows = await allRows<{ failed: boolean }>(
    tx,
    sql`
      update pgboss.job
      set output = ${JSON.stringify({ error })}::jsonb,
        ${stateAfter(sql`(${last} or retry_count >= retry_limit)`)},
        start_after = now() + retry_delay * 2 ^ least(retry_count, 16) * (1 + random()) * interval '1 s'
      where ${isHeld(lease)}
      returning state = 'failed' as failed`,
  )
  return rows[0]?.failed === true
}

export interface EndedLease {
  id: string
  name: string
  data: TakenJob['data']
  failed: boolean
}

/** Takes jobs from workers that have not renewed their lease: they died, and the jobs can be run again at once. */
export function endLeases(tx: Tx, names: readonly string[]): Promise<EndedLease[]> {
  const error = { type: 'WorkerLost', message: 'The worker that ran it has died.' }
  return allRows<EndedLease>(
    tx,
    sql`
      with ended as (
        select name, id from pgboss.job
        where state = 'active' and started_on + expire_in < now() and name in ${[...names]}
        for update skip locked
      )
      update pgboss.job
      set output = ${JSON.stringify({ error })}::jsonb,
        ${stateAfter(sql`retry_count >= retry_limit + ${DEATHS_ALLOWED}`)},
        start_after = now()
      from ended
      where job.name = ended.name and job.id = ended.id
      returning job.id, job.name, data, state = 'failed' as failed`,
  )
}

/** For an embedded database that was just opened: whoever ran a job died with the process before. */
export async function endAllLeases(db: Db): Promise<void> {
  await db.execute(sql`update pgboss.job set expire_in = '0 s' where state = 'active'`)
}

const isHeld = ({ name, id, lease }: Lease) => sql`
  name = ${name} and id = ${id} and state = 'active' and output->>'lease' = ${lease}`

const stateAfter = (failed: SQL) => sql`
  state = case when ${failed} then 'failed' else 'retry' end::pgboss.job_state,
  completed_on = case when ${failed} then now() end`
