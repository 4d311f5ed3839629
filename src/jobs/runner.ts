import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Database } from '../db/types.ts'
import { repeat } from '../lib/repeat.ts'
import { startBoss } from './boss.ts'
import type { Job } from './job.ts'
import { dueQueues, endAllLeases, renewLeases } from './queries.ts'
import { type RunningJob, runJob, type TakenJob } from './running-job.ts'
import { createScheduler } from './schedule.ts'

/** A job waits half as long on average. A look at idle queues costs Postgres a fraction of a millisecond. */
const POLL_MS = 500
const SCHEDULE_MS = 10_000

/** On top of the lease, this is how long a job waits whose worker has died. */
const EXPIRE_MS = 2_000
const RENEW_MS = 1_000

interface RunnerOptions {
  config: Config
  database: Database
  logger: Logger
  jobs: readonly Job[]
}

export interface Runner {
  /** Takes no more jobs, gives those that run this long to finish, and puts back the others. */
  stop(graceMs: number): Promise<void>
}

/** Runs jobs until it is stopped. Any number of runners may work on one database. */
export async function startRunner({ config, database, logger, jobs }: RunnerOptions): Promise<Runner> {
  const { db } = database
  const boss = await startBoss(db, logger)
  if (database.kind === 'embedded') await endAllLeases(db)
  const running = new Set<RunningJob>()
  const stopping = new AbortController()
  const schedule = createScheduler(db, jobs)

  const taking = repeat(takeDue, { every_ms: POLL_MS, logger, failure: 'taking jobs' })
  const scheduling = repeat(() => schedule(new Date()), {
    every_ms: SCHEDULE_MS,
    logger,
    failure: 'enqueueing what is scheduled',
  })
  const expiring = repeat(() => boss.expire(), { every_ms: EXPIRE_MS, logger, failure: 'ending leases' })
  const renewing = repeat(renew, { every_ms: RENEW_MS, logger, failure: 'renewing leases' })

  return {
    async stop(graceMs) {
      stopping.abort()
      await Promise.all([taking.end(), scheduling.end(), expiring.end()])
      await settledWithin(graceMs)
      await Promise.all([...running].map(job => job.putBack()))
      await renewing.end()
      await boss.stop({ graceful: false })
    },
  }

  async function takeDue() {
    const due = new Set(await dueQueues(db))
    for (const kind of jobs.filter(({ name }) => due.has(name))) {
      const free = kind.concurrency - [...running].filter(job => job.kind === kind).length
      if (free <= 0 || stopping.signal.aborted) continue
      const taken = await boss.fetch(kind.name, { batchSize: free, includeMetadata: true })
      for (const job of taken) start(kind, job as unknown as TakenJob)
    }
  }

  function start(kind: Job, taken: TakenJob) {
    const job = runJob(kind, taken, { config, database, logger, boss, stopping: stopping.signal })
    running.add(job)
    job.done.then(() => {
      running.delete(job)
      // There is room for another one.
      taking.soon()
    })
  }

  async function renew() {
    const leases = [...running].flatMap(job => job.leaseToRenew() ?? [])
    if (leases.length > 0) await renewLeases(db, leases)
  }

  async function settledWithin(graceMs: number) {
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise(resolve => {
      timer = setTimeout(resolve, graceMs)
    })
    await Promise.race([Promise.all([...running].map(job => job.done)), tooLate])
    clearTimeout(timer)
  }
}
