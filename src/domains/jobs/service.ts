import { inTransaction } from '../../db/transaction.ts'
import type { Db } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import { deleteJob, findJob, type JobRow, retryFailedJob } from '../../jobs/queries.ts'
import type { Actor } from '../../lib/actor.ts'
import { Conflict, NotFound } from '../../lib/problems.ts'
import { jobDeleted, jobRetried } from './events.ts'

/** Runs a failed job again, at once and with all its tries. */
export function retry(db: Db, actor: Actor, id: string): Promise<JobRow> {
  return inTransaction(db, async tx => {
    const retried = await retryFailedJob(tx, id)
    const after = await existingJob(tx, id)
    if (!retried) throw new Conflict(`The job is ${after.state}; only a failed one can be retried.`)
    const before = { name: after.name, state: 'failed' }
    await record(tx, actor, jobRetried, { subject_id: id, owner_id: null, before, after })
    return after
  })
}

/** Deletes a job that does not run. */
export function remove(db: Db, actor: Actor, id: string): Promise<void> {
  return inTransaction(db, async tx => {
    const before = await existingJob(tx, id)
    if (!(await deleteJob(tx, id))) throw new Conflict('The job runs; it can be deleted when it has ended.')
    await record(tx, actor, jobDeleted, { subject_id: id, owner_id: null, before })
  })
}

async function existingJob(db: Db, id: string): Promise<JobRow> {
  const job = await findJob(db, id)
  if (job === undefined) throw new NotFound('There is no such job.')
  return job
}
