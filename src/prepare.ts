import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { jobs } from './background.ts'
import { isConnectionFailure } from './db/errors.ts'
import { migrate } from './db/migrate.ts'
import type { Database } from './db/types.ts'
import { setClockAfterRestore } from './events/clock.ts'
import { ensurePartitions } from './events/partitions.ts'
import { installJobs } from './jobs/install.ts'

const FIRST_RETRY_MS = 250
const LONGEST_RETRY_MS = 4_000

/** Brings the database to what this code needs of it. Returns how many migrations were applied. */
export function prepareDatabase(
  database: Database,
  onProgress?: (done: number, total: number) => void,
): Promise<number> {
  return database.exclusively(async db => {
    const applied = await migrate(db, onProgress)
    await installJobs(db, jobs)
    await ensurePartitions(db)
    await setClockAfterRestore(db)
    return applied
  })
}

/** As soon as the server answers: a database that starts later than we do is not a reason to die. */
export async function prepareWhenReachable(database: Database, logger: Logger): Promise<void> {
  for (let delay = FIRST_RETRY_MS; ; delay = Math.min(delay * 2, LONGEST_RETRY_MS)) {
    try {
      const applied = await prepareDatabase(database)
      if (applied > 0) logger.info({ applied }, 'migrated')
      return
    } catch (error) {
      if (!isConnectionFailure(error)) throw error
      logger.warn({ err: error, retry_in_ms: delay }, 'the database cannot be reached yet')
      await sleep(delay)
    }
  }
}
