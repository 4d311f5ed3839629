import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { jobs, type Running, services } from './background.ts'
import type { Config } from './config.ts'
import { pendingMigrations } from './db/migrate.ts'
import type { Database } from './db/types.ts'
import { countMissingQueues } from './jobs/queries.ts'

const LOOK_MS = 1_000

export interface Work {
  /** Resolves when jobs are being run, or when it was stopped before. */
  started: Promise<void>
  /** Gives running jobs this long to finish. */
  stop(graceMs: number): Promise<void>
}

/** Runs the jobs and background services, from when the database is ready for them. */
export function startWork(config: Config, database: Database, logger: Logger): Work {
  const stopping = new AbortController()
  const starting = start()
  return {
    started: starting.then(() => {}),
    async stop(graceMs) {
      stopping.abort()
      const running = await starting
      await Promise.all(running.map(service => service.stop(graceMs)))
    },
  }

  async function start(): Promise<Running[]> {
    for (let told = false; !stopping.signal.aborted; told = true) {
      const obstacle = await obstacleTo(database)
      if (obstacle === undefined) return startAll()
      if (!told) logger.warn({ err: obstacle }, 'jobs wait until the database is there and migrated')
      await sleep(LOOK_MS, undefined, { signal: stopping.signal }).catch(() => {})
    }
    return []
  }

  /** Loaded here, because a web process without them starts sooner. */
  async function startAll(): Promise<Running[]> {
    const surroundings = { config, database, logger }
    const { startRunner } = await import('./jobs/runner.ts')
    const starters = await Promise.all(services.map(load => load()))
    return [startRunner({ ...surroundings, jobs }), ...starters.map(begin => begin(surroundings))]
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
