import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { inTransaction } from '../db/transaction.ts'
import type { Database } from '../db/types.ts'
import { newId } from '../lib/id.ts'
import { repeat } from '../lib/repeat.ts'
import { insertJob } from './enqueue.ts'
import type { Job } from './job.ts'
import { endAllLeases, endLeases, renewLeases, type TakenJob, takeJobs } from './leases.ts'
import { deleteOldJobs, dueQueues } from './queries.ts'
import { type RunningJob, runJob } from './running-job.ts'
import { createScheduler } from './schedule.ts'

/** A job waits half as long on average. A look at idle queues costs Postgres a fraction of a millisecond. */
const TAKE_MS = 500
const SCHEDULE_MS = 10_000
const RENEW_MS = 1_000

/** On top of the lease, this is how long a job waits whose worker has died. */
const END_LEASES_MS = 2_000
const CLEAN_MS = 300_000

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
export function startRunner({ config, database, logger, jobs }: RunnerOptions): Runner {
  const { db } = database
  const kinds = new Map(jobs.map(job => [job.name, job]))
  const running = new Set<RunningJob>()
  const stopping = new AbortController()
  const schedule = createScheduler(db, jobs)
  let firstLook = true

  const every = (every_ms: number, failure: string, work: () => Promise<unknown>) =>
    repeat(work, { every_ms, logger, failure })
  const taking = every(TAKE_MS, 'taking jobs', takeDue)
  const renewing = every(RENEW_MS, 'renewing leases', renew)
  const others = [
    every(END_LEASES_MS, 'ending leases', takeFromTheDead),
    every(SCHEDULE_MS, 'enqueueing what is scheduled', () => schedule(new Date())),
    every(CLEAN_MS, 'deleting old jobs', () => deleteOldJobs(db)),
  ]

  return {
    async stop(graceMs) {
      stopping.abort()
      await Promise.all([taking, ...others].map(repeating => repeating.end()))
      await finishedWithin(graceMs)
      await Promise.all([...running].map(job => job.putBack()))
      await renewing.end()
    },
  }

  async function takeDue() {
    const due = new Set(await dueQueues(db))
    for (const kind of jobs.filter(({ name }) => due.has(name))) {
      if (stopping.signal.aborted) return
      const free = kind.concurrency - [...running].filter(job => job.kind === kind).length
      if (free <= 0) continue
      for (const taken of await takeJobs(db, kind.name, free)) start(kind, taken)
    }
  }

  function start(kind: Job, taken: TakenJob) {
    const job = runJob(kind, taken, { config, database, logger, stopping: stopping.signal })
    running.add(job)
    job.done.then(() => {
      running.delete(job)
      // There is room for another one.
      taking.soon()
    })
  }

  async function renew() {
    const due = [...running].flatMap(job => {
      const renewal = job.renewal()
      return renewal === undefined ? [] : [{ job, renewal }]
    })
    if (due.length === 0) return
    await renewLeases(
      db,
      due.map(({ renewal }) => renewal),
    )
    for (const { job } of due) job.renewed()
  }

  async function takeFromTheDead() {
    if (firstLook && database.kind === 'embedded') await endAllLeases(db)
    firstLook = false
    const ended = await inTransaction(db, async tx => {
      const found = await endLeases(tx, [...kinds.keys()])
      for (const { name, data, failed } of found) {
        const dead_letter = failed ? kinds.get(name)?.dead_letter : undefined
        if (dead_letter) await insertJob(tx, newId(), dead_letter, data ?? {})
      }
      return found
    })
    for (const { id, name, failed } of ended) {
      logger.warn({ job: name, job_id: id, failed }, 'the worker of a job has died')
    }
    if (ended.length > 0) taking.soon()
  }

  async function finishedWithin(graceMs: number) {
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise(resolve => {
      timer = setTimeout(resolve, graceMs)
    })
    await Promise.race([Promise.all([...running].map(job => job.done)), tooLate])
    clearTimeout(timer)
  }
}
