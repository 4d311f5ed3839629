import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { EXIT_CONFIG, EXIT_TEMPORARY } from './lib/exit-codes.ts'
import { isMain } from './lib/is-main.ts'
import { type Running, runProcess, type Surroundings } from './process.ts'
import { startServer } from './server.ts'

/** A process that lives this long was well; one that dies sooner is in a crash loop. */
const WELL_AFTER_MS = 10_000
const FIRST_DELAY_MS = 200
const LONGEST_DELAY_MS = 30_000

/** On top of the grace that a process gives its requests, for closing the database. */
const KILL_MARGIN_MS = 3_000

/** Keeps `WEB_CONCURRENCY` web processes alive. SIGHUP replaces them one by one, without a request lost. */
export async function supervise({ config, logger }: Surroundings): Promise<Running> {
  const workers = new Set<Worker>()
  const retiring = new WeakSet<Worker>()
  let failures = 0
  let stopping = false
  let rolling = Promise.resolve()

  for (let count = 0; count < config.WEB_CONCURRENCY; count++) start()
  process.on('SIGHUP', () => {
    rolling = rolling.then(restartInTurn)
  })

  return {
    async stop() {
      stopping = true
      await Promise.all([...workers].map(retire))
    },
  }

  function start(): Worker {
    const worker = cluster.fork()
    const startedAt = Date.now()
    workers.add(worker)
    worker.on('exit', async (code, signal) => {
      workers.delete(worker)
      if (stopping || retiring.has(worker)) return
      if (code === EXIT_CONFIG || code === EXIT_TEMPORARY) process.exit(code)
      failures = Date.now() - startedAt > WELL_AFTER_MS ? 0 : failures + 1
      const delay = restartDelay(failures)
      logger.error({ worker_pid: worker.process.pid, code, signal, delay_ms: delay }, 'a web process died')
      await sleep(delay)
      if (!stopping) start()
    })
    return worker
  }

  async function restartInTurn() {
    logger.info('replacing the web processes in turn')
    for (const old of [...workers]) {
      if (stopping) return
      const successor = start()
      if (!(await becomesReady(successor))) {
        logger.error('a successor did not become ready: the old processes stay')
        await retire(successor)
        return
      }
      await retire(old)
    }
    logger.info('replaced')
  }

  async function retire(worker: Worker) {
    if (worker.isDead()) return
    retiring.add(worker)
    const exit = once(worker, 'exit')
    worker.process.kill('SIGTERM')
    const kill = setTimeout(
      () => worker.process.kill('SIGKILL'),
      config.SHUTDOWN_GRACE_SECONDS * 1000 + KILL_MARGIN_MS,
    )
    await exit
    clearTimeout(kill)
  }
}

/** The first death is made good at once; a crash loop slows down. */
function restartDelay(failures: number): number {
  return failures <= 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (failures - 2), LONGEST_DELAY_MS)
}

async function becomesReady(worker: Worker): Promise<boolean> {
  const outcome = await Promise.race([once(worker, 'message'), once(worker, 'exit')])
  return outcome[0] === 'ready'
}

/** The entry of `npm start`: this file is also what each forked process runs. */
async function main() {
  if (cluster.isWorker) {
    await runProcess(startServer)
  } else {
    await runProcess(({ config, logger }) =>
      config.WEB_CONCURRENCY === 1 ? startServer({ config, logger }) : supervise({ config, logger }),
    )
  }
}

if (isMain(import.meta.url)) await main()
