import { createHash } from 'node:crypto'
import { Cron } from 'croner'
import { inTransaction } from '../db/transaction.ts'
import type { Db } from '../db/types.ts'
import { systemActor } from '../lib/actor.ts'
import { insertJob } from './enqueue.ts'
import type { Job } from './job.ts'

/** What fell due while no worker ran is made up for. Shorter than such jobs are kept, which is how a repeat is known. */
const LOOK_BACK_MS = 24 * 3_600_000

/** Enqueues what falls due. Any number of workers may do so: the id of a job follows from its time. */
export function createScheduler(db: Db, jobs: readonly Job[]): (now: Date) => Promise<void> {
  const scheduled = jobs.flatMap(job =>
    job.schedule === undefined ? [] : [{ job, cron: utc(job.schedule) }],
  )
  let checked: Date | undefined

  return async now => {
    const from = checked ?? new Date(now.getTime() - LOOK_BACK_MS)
    for (const { job, cron } of scheduled) {
      const due = lastBetween(cron, from, now)
      if (due === undefined) continue
      const data = { payload: {}, origin: systemActor().origin, scheduled_for: due }
      await inTransaction(db, tx => insertJob(tx, idAt(job, due), job, data))
    }
    checked = now
  }
}

const utc = (pattern: string) => new Cron(pattern, { timezone: 'UTC', paused: true })

/** Only the last one: a job that fell due ten times while nobody was there need not run ten times. */
function lastBetween(cron: Cron, from: Date, to: Date): Date | undefined {
  const last = cron.previousRuns(1, to)[0]
  // What falls due at `to` itself is found the next time, which begins there.
  return last !== undefined && last >= from ? last : undefined
}

function idAt({ name }: Job, due: Date): string {
  const hex = createHash('sha256').update(`${name} ${due.toISOString()}`).digest('hex')
  const time = due.getTime().toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex.slice(0, 3)}-8${hex.slice(3, 6)}-${hex.slice(6, 18)}`
}
