import type { Static, TSchema } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { executePrepared } from '../db/raw.ts'
import { firstRow } from '../db/rows.ts'
import type { Tx } from '../db/types.ts'
import type { Actor } from '../lib/actor.ts'
import { newId } from '../lib/id.ts'
import type { Job } from './job.ts'

/** A job with the same key may start between two of our statements; that it does so each time will not happen. */
const ATTEMPTS = 5

interface EnqueueOptions {
  /** While a job with this key waits, another one would do nothing new: the waiting one is returned. */
  key?: string
  /** Higher ones go first within their queue. Default 0. */
  priority?: number
  /** Not before this moment. */
  start_after?: Date
}

/** Puts a job on the caller's transaction: it is there when that commits, and not otherwise. Returns its id. */
export async function enqueue<Payload extends TSchema>(
  tx: Tx,
  actor: Actor,
  job: Job<Payload>,
  payload: Static<Payload>,
  options: EnqueueOptions = {},
): Promise<string> {
  const id = newId()
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (await insertJob(tx, id, job, { payload, origin: actor.origin }, options)) return id
    // Changed, and so locked until we commit: it cannot start before it can see what we did.
    const waiting = await hastenWaiting(tx, job, options)
    if (waiting !== undefined) return waiting
    // It has started between the two statements.
  }
  throw new Error(`A job ${job.name} could not be enqueued.`)
}

/** Whether it was inserted: not if there is one with this id already, or a waiting one with this key. */
export async function insertJob(
  tx: Tx,
  id: string,
  job: Job,
  data: object,
  { key, priority = 0, start_after }: EnqueueOptions = {},
): Promise<boolean> {
  const rows = await executePrepared(tx, INSERT, [
    ...[id, job.name, data, priority, start_after, key, key === undefined ? 'standard' : 'short'],
    ...[job.retries, job.backoff_seconds, job.lease_seconds, job.dead_letter?.name],
  ])
  return rows.length === 1
}

/** Kept for ten years: workers may have been switched off. */
const INSERT = `
  insert into pgboss.job (
    id, name, data, priority, start_after, singleton_key, policy,
    retry_limit, retry_delay, retry_backoff, expire_in, dead_letter, keep_until
  ) values (
    $1, $2, $3, $4, coalesce($5, now()), $6, $7,
    $8, $9, true, $10 * interval '1 s', $11, now() + interval '10 years'
  )
  on conflict do nothing
  returning id`

/** The job that waits with the same key; it keeps the earlier time and the higher priority of the two. */
async function hastenWaiting(tx: Tx, job: Job, options: EnqueueOptions): Promise<string | undefined> {
  const { key, priority = 0, start_after } = options
  if (key === undefined) return undefined
  const row = await firstRow<{ id: string }>(
    tx,
    sql`
      update pgboss.job
      set priority = greatest(priority, ${priority}),
        start_after = least(start_after, coalesce(${start_after?.toISOString() ?? null}::timestamptz, now()))
      where name = ${job.name} and singleton_key = ${key} and policy = 'short' and state = 'created'
      returning id`,
  )
  return row?.id
}
