import cluster from 'node:cluster'
import type { Logger } from 'pino'
import { type Config, loadConfig } from './config.ts'
import { StartupError } from './lib/exit-codes.ts'
import { createLogger } from './lib/log.ts'

export interface Surroundings {
  config: Config
  logger: Logger
}

export interface Running {
  /** Ends in order. An impatient one (Ctrl-C) is not meant for anybody but the person at the terminal. */
  stop(impatient: boolean): Promise<void>
}

/** What web, worker and supervising processes have in common: configuration, log, signals, and how they end. */
export async function runProcess(start: (surroundings: Surroundings) => Promise<Running>) {
  let logger: Logger | undefined
  try {
    const config = loadConfig()
    logger = await createLogger(config.LOG_LEVEL)
    endOnBugs(logger)
    const signalled = endOnSignals(logger)
    signalled.running = await start({ config, logger })
  } catch (error) {
    reportStartupFailure(error, logger)
  }
}

function reportStartupFailure(error: unknown, logger: Logger | undefined): never {
  if (error instanceof StartupError) {
    process.stderr.write(`${error.message}\n`)
    process.exit(error.exitCode)
  }
  if (logger === undefined) throw error
  logger.fatal({ err: error }, 'could not start')
  process.exit(1)
}

/** After a bug nobody caught, the state of the process is unknown: it ends, and whoever started it starts another. */
function endOnBugs(logger: Logger) {
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    process.on(event, error => {
      logger.fatal({ err: error }, event)
      process.exit(1)
    })
  }
}

function endOnSignals(logger: Logger): { running: Running | undefined } {
  const state: { running: Running | undefined } = { running: undefined }
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, async () => {
      // Ctrl-C reaches the whole process group; in a cluster it is for the supervisor to act on it.
      if (signal === 'SIGINT' && cluster.isWorker) return
      if (stopping) {
        logger.warn({ signal }, 'second signal: ending at once')
        process.exit(1)
      }
      stopping = true
      logger.info({ signal }, 'stopping')
      await state.running?.stop(signal === 'SIGINT')
      logger.info('stopped')
      process.exit(0)
    })
  }
  return state
}
