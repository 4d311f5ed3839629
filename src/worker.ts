import { connect } from './db/connect.ts'
import { EXIT_CONFIG, StartupError } from './lib/exit-codes.ts'
import { isMain } from './lib/is-main.ts'
import { type Running, runProcess, type Surroundings } from './process.ts'

const A_DAY_MS = 86_400_000

/** The process for background work. There is none yet; it starts, stays and stops as it will when there is. */
export async function startWorker({ config, logger }: Surroundings): Promise<Running> {
  if (config.DATABASE_URL === undefined) {
    throw new StartupError(
      'A worker process needs DATABASE_URL: the embedded database belongs to the web process.',
      EXIT_CONFIG,
    )
  }
  const database = await connect(config)
  // Nothing else keeps an idle process alive.
  const alive = setInterval(() => {}, A_DAY_MS)
  logger.info('worker ready')
  return {
    async stop() {
      clearInterval(alive)
      await database.close()
    },
  }
}

if (isMain(import.meta.url)) await runProcess(startWorker)
