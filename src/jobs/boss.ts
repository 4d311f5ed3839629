import { sql } from 'drizzle-orm'
import PgBoss from 'pg-boss'
import type { Logger } from 'pino'
import { executeText } from '../db/raw.ts'
import type { Db } from '../db/types.ts'
import type { Job } from './job.ts'

/** How often one of the workers moves what is done to the archive, and empties that. */
const CLEANING_SECONDS = 300

/** Done jobs stay in the table that is polled for an hour, and a week in the archive; failed ones wait for a person. */
const KEEP_COMPLETED_SECONDS = 3600
const KEEP_FAILED_SECONDS = 14 * 86_400
const KEEP_ARCHIVED_DAYS = 7

/**
 * pg-boss keeps the jobs: its tables, taking, finishing and retrying them, and cleaning up. Its own workers are not
 * used: they do not wait for the outcome to be written, so a database that goes away at that moment ends the process,
 * and they have no way to renew a lease. Nor is its `send`, which would load it into every web process.
 */
function createBoss(db: Db, { migrate, supervise }: { migrate: boolean; supervise: boolean }): PgBoss {
  return new PgBoss({
    db: { executeSql: (text, values) => executeText(db, text, values) },
    migrate,
    supervise,
    schedule: false,
    maintenanceIntervalSeconds: CLEANING_SECONDS,
    archiveCompletedAfterSeconds: KEEP_COMPLETED_SECONDS,
    archiveFailedAfterSeconds: KEEP_FAILED_SECONDS,
    deleteAfterDays: KEEP_ARCHIVED_DAYS,
  })
}

/** Brings the tables of pg-boss up to date, and makes a queue for each job that has none. */
export async function installJobs(db: Db, jobs: readonly Job[]): Promise<void> {
  const boss = await createBoss(db, { migrate: true, supervise: false }).start()
  const existing = new Set((await boss.getQueues()).map(({ name }) => name))
  for (const { name, retries } of jobs) {
    const queue = { name, retryLimit: retries }
    await (existing.has(name) ? boss.updateQueue(name, queue) : boss.createQueue(name, queue))
  }
  await boss.stop({ graceful: false })
  // Workers look for ended leases every few seconds, among all that was done in the last hour.
  await db.execute(
    sql`create index if not exists job_active on pgboss.job (started_on) where state = 'active'`,
  )
}

/** For a worker; of many, one at a time cleans up. */
export async function startBoss(db: Db, logger: Logger): Promise<PgBoss> {
  const boss = createBoss(db, { migrate: false, supervise: true })
  boss.on('error', error => logger.warn({ err: error }, 'cleaning up jobs failed; it will be tried again'))
  return boss.start()
}
