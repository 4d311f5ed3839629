import type { Static, TSchema } from '@sinclair/typebox'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Database } from '../db/types.ts'
import type { Actor } from '../lib/actor.ts'

/** What a running job may use. */
export interface JobContext {
  config: Config
  database: Database
  /** Its lines carry the job's id and the id of the request that caused it. */
  logger: Logger
  /** The service, on behalf of the request that enqueued the job. */
  actor: Actor
  id: string
  /** 1 at the first try. */
  attempt: number
  /** Aborted when the process stops: a long job should end soon, by throwing, and will be run again. */
  signal: AbortSignal
  /** Tells operators how far it is. Cheap: written at most once a second. */
  progress(done: number, total: number): void
}

/** A kind of background work. It may run more than once for the same payload, so it has to be idempotent. */
export interface Job<Payload extends TSchema = TSchema> {
  /** Imperative, as in `webhook.deliver`; also the name of its queue. */
  name: string
  summary: string
  /** Ids, not rows: what it works on may have changed by the time it runs. */
  payload: Payload
  run(payload: Static<Payload>, context: JobContext): Promise<void>
  /** Tries after the first. */
  retries: number
  /** Before the first retry; doubled, with jitter, before each further one. */
  backoff_seconds: number
  /** How soon another worker takes over from one that died. A living worker renews it. */
  lease_seconds: number
  /** How many a worker process runs at once. */
  concurrency: number
  /** In cron's notation, UTC; with an empty payload. */
  schedule: string | undefined
  /** Gets the payload when the last try has failed. */
  dead_letter: Job | undefined
}

const defaults = {
  retries: 10,
  backoff_seconds: 5,
  lease_seconds: 30,
  concurrency: 1,
  schedule: undefined,
  dead_letter: undefined,
}

type Required = 'name' | 'summary' | 'payload' | 'run'

export function defineJob<Payload extends TSchema>(
  job: Pick<Job<Payload>, Required> & Partial<Omit<Job<Payload>, Required>>,
): Job<Payload> {
  return { ...defaults, ...job }
}

/** Thrown by a job for which another try cannot help: it fails at once and stays to be looked at. */
export class PermanentFailure extends Error {
  override name = 'PermanentFailure'
}
