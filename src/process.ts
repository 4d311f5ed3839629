import cluster from 'node:cluster'
import type { Logger } from 'pino'
import { type Config, loadConfig } from './config.ts'
import { StartupError } from './lib/exit-codes.ts'
import { createLogger } from './lib/log.ts'

/** One Ctrl-C may reach us twice: from the terminal, and from npm, which passes it on. */
const TOGETHER_MS = 100

export interface Surroundings {
  config: Config
  logger: Logger
}

/** Why a process ends: told to, by somebody at the terminal who waits, or because a successor serves in its place. */
export type Ending = 'told' | 'impatient' | 'replaced'

export interface Running {
  /** Ends in order. */
  stop(why: Ending): Promise<void>
  /** What SIGHUP asks for; without it, SIGHUP ends the process, as when its terminal is closed. */
  reload?(): void
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
  let endingSince: number | undefined

  const end = async (cause: string, why: Ending) => {
    if (endingSince !== undefined) {
      // A supervisor may tell its processes what the whole group was told already; it has its own way to insist.
      if (cluster.isWorker || Date.now() - endingSince < TOGETHER_MS) return
      logger.warn({ cause }, 'told twice: ending at once')
      process.exit(1)
    }
    endingSince = Date.now()
    logger.info({ cause }, 'stopping')
    await state.running?.stop(why)
    logger.info('stopped')
    process.exit(0)
  }

  process.on('SIGTERM', () => end('SIGTERM', 'told'))
  // Ctrl-C and a closed terminal reach the whole process group; in a cluster they are for the supervisor to act on.
  process.on('SIGINT', () => cluster.isWorker || end('SIGINT', 'impatient'))
  process.on('SIGHUP', () => {
    if (cluster.isWorker) return
    if (state.running?.reload) state.running.reload()
    else end('SIGHUP', 'told')
  })
  process.on('message', message => message === 'replaced' && end('replaced', 'replaced'))
  return state
}
