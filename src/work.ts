import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { jobs } from './background.ts'
import type { Config } from './config.ts'
import { pendingMigrations } from './db/migrate.ts'
import type { Database } from './db/types.ts'
import { countMissingQueues } from './jobs/queries.ts'
import type { Runner } from './jobs/runner.ts'

const LOOK_MS = 1_000

export interface Work {
  /** Resolves when jobs are being run, or when it was stopped before. */
  started: Promise<void>
  /** Gives running jobs this long to finish. */
  stop(graceMs: number): Promise<void>
}

/** Runs the jobs of the service, from when the database is ready for them. */
export function startWork(config: Config, database: Database, logger: Logger): Work {
  const stopping = new AbortController()
  const starting = start()
  return {
    started: starting.then(() => {}),
    async stop(graceMs) {
      stopping.abort()
      const runner = await starting
      await runner?.stop(graceMs)
    },
  }

  async function start(): Promise<Runner | undefined> {
    for (let told = false; !stopping.signal.aborted; told = true) {
      const obstacle = await obstacleTo(database)
      // Loaded here, because a web process without it starts sooner.
      if (obstacle === undefined)
        return (await import('./jobs/runner.ts')).startRunner({ config, database, logger, jobs })
      if (!told) logger.warn({ err: obstacle }, 'jobs wait until the database is there and migrated')
      await sleep(LOOK_MS, undefined, { signal: stopping.signal }).catch(() => {})
    }
    return undefined
  }
}

/** Why jobs cannot be run yet. */
async function obstacleTo({ db }: Database): Promise<unknown> {
  try {
    const missing = (await pendingMigrations(db)) + (await countMissingQueues(db, jobs))
    return missing === 0 ? undefined : new Error('The database is not migrated.')
  } catch (error) {
    return error
  }
}
