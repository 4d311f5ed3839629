import { setTimeout as sleep } from 'node:timers/promises'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type PgBoss from 'pg-boss'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Database } from '../db/types.ts'
import { type Origin, systemActor } from '../lib/actor.ts'
import { rootCause } from '../lib/log.ts'
import { type Job, PermanentFailure } from './job.ts'
import { forgoRetries, type Lease, returnJob } from './queries.ts'

/** A lease is renewed when a third of it is gone, so two renewals in a row may fail. */
const RENEWALS_PER_LEASE = 3

/** How long to wait before the outcome is written again, when the database is away. */
const RETRY_MS = 500

/** A job as pg-boss hands it out. */
export interface TakenJob {
  id: string
  data: { payload: unknown; origin: Origin }
  retryCount: number
  retryLimit: number
}

export interface RunningJob {
  kind: Job
  /** Resolves, never rejects, when the outcome is written or has become another worker's affair. */
  done: Promise<void>
  /** What has to be written to keep it, if it is time. */
  leaseToRenew(): Lease | undefined
  /** Leaves it to be run again, by whomever. */
  putBack(): Promise<void>
}

interface Surroundings {
  config: Config
  database: Database
  logger: Logger
  boss: PgBoss
  stopping: AbortSignal
}

/** Runs a job that was taken, and writes the outcome. */
export function runJob(kind: Job, taken: TakenJob, surroundings: Surroundings): RunningJob {
  const { config, database, boss, stopping } = surroundings
  const { id, data, retryCount, retryLimit } = taken
  const { payload, origin } = data
  const attempt = retryCount + 1
  const logger = surroundings.logger.child({
    job: kind.name,
    job_id: id,
    ...(origin.request_id !== null && { request_id: origin.request_id }),
  })
  const startedAt = performance.now()
  const state: { started_at: string; done?: number; total?: number } = {
    started_at: new Date().toISOString(),
  }
  let renewedAt = startedAt
  let toldProgress = true
  let ended = false

  return { kind, done: perform(), leaseToRenew, putBack }

  async function perform() {
    try {
      checkPayload(kind.payload, payload)
      const context = {
        config,
        database,
        logger,
        actor: systemActor(origin),
        id,
        attempt,
        signal: stopping,
        progress,
      }
      await kind.run(payload, context)
      await write(() => boss.complete(kind.name, id))
      logger.info({ attempt, duration_ms: Math.round(performance.now() - startedAt) }, 'job done')
    } catch (error) {
      // It was told to end, and says that it did not get to the end of its work.
      if (stopping.aborted) await write(() => returnJob(database.db, kind.name, id))
      else await fail(error)
    }
    ended = true
  }

  async function fail(error: unknown) {
    const last = error instanceof PermanentFailure || retryCount >= retryLimit
    logger[last ? 'error' : 'warn']({ err: error, attempt }, last ? 'job failed for good' : 'job failed')
    const { type, message, code } = rootCause(error)
    await write(async () => {
      if (error instanceof PermanentFailure) await forgoRetries(database.db, kind.name, id)
      await boss.fail(kind.name, id, { error: { type, message, ...(code !== undefined && { code }) } })
    })
  }

  /** Without the outcome the job would run again, so a database that is away is waited for: as long as the lease lasts. */
  async function write(outcome: () => Promise<unknown>) {
    const until = performance.now() + kind.lease_seconds * 1000
    for (;;) {
      try {
        await outcome()
        return
      } catch (error) {
        if (ended) return
        if (performance.now() > until) {
          logger.error({ err: error }, 'the outcome of a job could not be written: it will run again')
          return
        }
        await sleep(RETRY_MS)
      }
    }
  }

  function progress(done: number, total: number) {
    Object.assign(state, { done, total })
    toldProgress = false
  }

  function leaseToRenew(): Lease | undefined {
    const age = performance.now() - renewedAt
    if (ended || (toldProgress && age < (kind.lease_seconds * 1000) / RENEWALS_PER_LEASE)) return undefined
    renewedAt = performance.now()
    toldProgress = true
    return { name: kind.name, id, lease_seconds: kind.lease_seconds, output: { ...state } }
  }

  async function putBack() {
    ended = true
    logger.warn('the time to stop ran out: the job goes back')
    await returnJob(database.db, kind.name, id)
  }
}

/** It may have been enqueued by another release. */
function checkPayload(schema: TSchema, payload: unknown) {
  const fault = Value.Errors(schema, payload).First()
  if (fault !== undefined)
    throw new PermanentFailure(`The payload does not fit: ${fault.path || '/'} ${fault.message}`)
}
