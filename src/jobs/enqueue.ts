import type { Static, TSchema } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { allRows, firstRow } from '../db/rows.ts'
import type { Tx } from '../db/types.ts'
import type { Actor } from '../lib/actor.ts'
import { newId } from '../lib/id.ts'
import type { Job } from './job.ts'

interface EnqueueOptions {
  /** While a job with this key waits, another one would do nothing new: the waiting one is returned. */
  key?: string
  /** Higher ones go first within their queue. Default 0. */
  priority?: number
  /** Not before this moment. */
  start_after?: Date
}

/** A job that nobody ran for so long is worth keeping all the same: workers may have been switched off. */
const KEEP = sql.raw(`now() + interval '10 years'`)

/** Puts a job on the caller's transaction: it is there when that commits, and not otherwise. Returns its id. */
export async function enqueue<Payload extends TSchema>(
  tx: Tx,
  actor: Actor,
  job: Job<Payload>,
  payload: Static<Payload>,
  options: EnqueueOptions = {},
): Promise<string> {
  const { key } = options
  const id = newId()
  if (await insertJob(tx, id, job, { payload, origin: actor.origin }, options)) return id
  if (key !== undefined) {
    // Locked until we commit, so that it cannot start before it can see what we did.
    const waiting = await lockWaiting(tx, job, key)
    if (waiting !== undefined) return waiting
    // It has started between the two statements.
    if (await insertJob(tx, id, job, { payload, origin: actor.origin }, options)) return id
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
  const rows = await allRows(
    tx,
    sql`
      insert into pgboss.job (
        id, name, data, priority, start_after, singleton_key, policy,
        retry_limit, retry_delay, retry_backoff, expire_in, keep_until, dead_letter
      ) values (
        ${id}, ${job.name}, ${JSON.stringify(data)}::jsonb, ${priority},
        ${start_after?.toISOString() ?? sql`now()`}, ${key ?? null}, ${key === undefined ? 'standard' : 'short'},
        ${job.retries}, ${job.backoff_seconds}, true, ${`${job.lease_seconds} s`}, ${KEEP},
        ${job.dead_letter?.name ?? null}
      )
      on conflict do nothing
      returning id`,
  )
  return rows.length === 1
}

async function lockWaiting(tx: Tx, job: Job, key: string): Promise<string | undefined> {
  const row = await firstRow<{ id: string }>(
    tx,
    sql`
      select id from pgboss.job
      where name = ${job.name} and singleton_key = ${key} and policy = 'short' and state = 'created'
      for update`,
  )
  return row?.id
}
