import { connect } from './db/connect.ts'
import { tellKeepers } from './kept.ts'
import { EXIT_CONFIG, StartupError } from './lib/exit-codes.ts'
import { isMain } from './lib/is-main.ts'
import { type Running, runProcess, type Surroundings } from './process.ts'
import { startWork } from './work.ts'

/** What closing the database may take, of the time in which the process has to be gone. */
const CLOSE_MS = 2_000

/** The process for background work alone. Any number of them share the jobs. */
export async function startWorker({ config, logger }: Surroundings): Promise<Running> {
  if (config.DATABASE_URL === undefined) {
    throw new StartupError(
      'A worker process needs DATABASE_URL: the embedded database belongs to the web process, which runs the jobs too.',
      EXIT_CONFIG,
    )
  }
  const database = await connect(config)
  if (config.MIGRATE_ON_START) {
    const { prepareWhenReachable } = await import('./prepare.ts')
    await prepareWhenReachable(database, logger)
  }
  const telling = tellKeepers(config, database, logger)
  const work = startWork(config, database, logger)
  work.started.then(() => logger.info('worker ready'))
  return {
    async stop(why) {
      await work.stop(why === 'impatient' ? 0 : Math.max(config.SHUTDOWN_GRACE_SECONDS * 1000 - CLOSE_MS, 0))
      await telling.end()
      await database.close()
    },
  }
}

if (isMain(import.meta.url)) await runProcess(startWorker)
