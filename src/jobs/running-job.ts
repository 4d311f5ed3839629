import { setTimeout as sleep } from 'node:timers/promises'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { inTransaction } from '../db/transaction.ts'
import type { Database } from '../db/types.ts'
import { systemActor } from '../lib/actor.ts'
import { newId } from '../lib/id.ts'
import { insertJob } from './enqueue.ts'
import { type Job, PermanentFailure } from './job.ts'
import { storableError } from './job-error.ts'
import { completeJob, failJob, type Lease, returnJob, type TakenJob } from './leases.ts'

/** A lease is renewed when a third of it is gone, and until that succeeds. */
const RENEWALS_PER_LEASE = 3

/** How long to wait before the outcome is written again, when the database is away. */
const RETRY_MS = 500

interface Renewal extends Lease {
  lease_seconds: number
  progress: object
}

export interface RunningJob {
  kind: Job
  /** Resolves, never rejects, when the outcome is written or has become another worker's affair. */
  done: Promise<void>
  /** What has to be written to keep it, if it is time. */
  renewal(): Renewal | undefined
  renewed(): void
  /** Leaves it to be run again, by whomever. Never rejects. */
  putBack(): Promise<void>
}

interface Surroundings {
  config: Config
  database: Database
  logger: Logger
  stopping: AbortSignal
}

/** Runs a job that was taken, and writes the outcome. */
export function runJob(kind: Job, taken: TakenJob, surroundings: Surroundings): RunningJob {
  const { config, database, stopping } = surroundings
  const { db } = database
  const { id, retry_count } = taken
  // It may have been enqueued by another release, or by hand.
  const { payload, origin = systemActor().origin } = taken.data ?? { payload: undefined }
  const lease: Lease = { name: kind.name, id, lease: taken.lease }
  const attempt = retry_count + 1
  const logger = surroundings.logger.child({
    job: kind.name,
    job_id: id,
    ...(origin.request_id !== null && { request_id: origin.request_id }),
  })
  const startedAt = performance.now()
  let progressMade: object = {}
  let progressTold = progressMade
  let renewedAt = startedAt
  let ended = false

  return { kind, done: perform(), renewal, renewed, putBack }

  async function perform() {
    try {
      checkPayload(kind.payload, payload)
      const actor = systemActor(origin)
      await kind.run(payload, { config, database, logger, actor, id, attempt, signal: stopping, progress })
      const written = await write(() => completeJob(db, lease))
      if (written)
        logger.info({ attempt, duration_ms: Math.round(performance.now() - startedAt) }, 'job done')
    } catch (error) {
      // It was told to end, and says that it did not get to the end of its work.
      if (stopping.aborted) await write(() => returnJob(db, lease))
      else await fail(error)
    }
    ended = true
  }

  async function fail(error: unknown) {
    const permanent = error instanceof PermanentFailure
    const last = permanent || retry_count >= taken.retry_limit
    logger[last ? 'error' : 'warn']({ err: error, attempt }, last ? 'job failed for good' : 'job failed')
    await write(() =>
      inTransaction(db, async tx => {
        const failed = await failJob(tx, lease, storableError(error), permanent)
        if (failed && kind.dead_letter) await insertJob(tx, newId(), kind.dead_letter, { payload, origin })
      }),
    )
  }

  /** Without the outcome the job would run again, so a database that is away is waited for: as long as the lease lasts. */
  async function write(outcome: () => Promise<void>): Promise<boolean> {
    const until = performance.now() + kind.lease_seconds * 1000
    while (!ended) {
      try {
        await outcome()
        return true
      } catch (error) {
        if (performance.now() > until) {
          logger.error({ err: error }, 'the outcome of a job could not be written: it will run again')
          return false
        }
        await sleep(RETRY_MS)
      }
    }
    return false
  }

  function progress(done: number, total: number) {
    progressMade = { done, total }
  }

  function renewal(): Renewal | undefined {
    const age = performance.now() - renewedAt
    const fresh = progressTold === progressMade && age < (kind.lease_seconds * 1000) / RENEWALS_PER_LEASE
    if (ended || fresh) return undefined
    return { ...lease, lease_seconds: kind.lease_seconds, progress: progressMade }
  }

  function renewed() {
    renewedAt = performance.now()
    progressTold = progressMade
  }

  async function putBack() {
    ended = true
    try {
      await returnJob(db, lease)
      logger.warn('the time to stop ran out: the job goes back')
    } catch (error) {
      logger.warn({ err: error }, 'the job could not be put back: it will run again when its lease is over')
    }
  }
}

function checkPayload(schema: TSchema, payload: unknown) {
  const fault = Value.Errors(schema, payload).First()
  if (fault !== undefined)
    throw new PermanentFailure(`The payload does not fit: ${fault.path || '/'} ${fault.message}`)
}
