import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { jobs } from './background.ts'
import type { Config } from './config.ts'
import { isConnectionFailure } from './db/errors.ts'
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
    for (let told = false; !(await isPrepared(database)); told = true) {
      if (!told) logger.warn('jobs wait until the database is there and migrated')
      await sleep(LOOK_MS, undefined, { signal: stopping.signal }).catch(() => {})
      if (stopping.signal.aborted) return undefined
    }
    // Loaded here, because a web process without it starts sooner.
    const { startRunner } = await import('./jobs/runner.ts')
    return stopping.signal.aborted ? undefined : startRunner({ config, database, logger, jobs })
  }
}

async function isPrepared({ db }: Database): Promise<boolean> {
  try {
    return (await pendingMigrations(db)) === 0 && (await countMissingQueues(db, jobs)) === 0
  } catch (error) {
    if (isConnectionFailure(error)) return false
    throw error
  }
}
