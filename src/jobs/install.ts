import { sql } from 'drizzle-orm'
import PgBoss from 'pg-boss'
import { executeText } from '../db/raw.ts'
import type { Db } from '../db/types.ts'
import type { Job } from './job.ts'

/**
 * Brings the tables of pg-boss up to date, and makes a queue for each job that has none. At run time we use its tables
 * and not its functions: `src/README.md` says why.
 */
export async function installJobs(db: Db, jobs: readonly Job[]): Promise<void> {
  const boss = new PgBoss({
    db: { executeSql: (text, values) => executeText(db, text, values) },
    supervise: false,
    schedule: false,
  })
  await boss.start()
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
