import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { gatherMetricsFor } from './lib/cluster-metrics.ts'
import { EXIT_CONFIG, EXIT_TEMPORARY, EXIT_UNAVAILABLE } from './lib/exit-codes.ts'
import { isMain } from './lib/is-main.ts'
import { type Running, runProcess, type Surroundings } from './process.ts'
import { READY, SUCCESSOR, startServer } from './server.ts'

/** A process that lives this long was well; one that dies sooner is in a crash loop. */
const WELL_AFTER_MS = 10_000
const FIRST_DELAY_MS = 200
const LONGEST_DELAY_MS = 30_000

/** On top of the grace that a process gives its requests, for closing the database. */
const KILL_MARGIN_MS = 3_000

/** A successor that needs longer waits for something, such as the database, that its predecessors can do without. */
const READY_WITHIN_MS = 60_000

/** Ends that another start would only repeat. */
const HOPELESS = [EXIT_CONFIG, EXIT_TEMPORARY, EXIT_UNAVAILABLE]

/** Keeps `WEB_CONCURRENCY` web processes alive. SIGHUP replaces them one by one, without a request lost. */
export async function supervise({ config, logger }: Surroundings): Promise<Running> {
  /** The processes that should be there. A successor becomes one of them when it is ready, and its predecessor none. */
  const members = new Set<Worker>()
  const leaving = new Set<Worker>()
  let served = false
  let failures = 0
  let stopping = false
  let rolling = Promise.resolve()

  for (let count = 0; count < config.WEB_CONCURRENCY; count++) startMember()

  return {
    reload() {
      rolling = rolling.then(replaceInTurn)
    },
    async stop() {
      stopping = true
      await Promise.all([...members, ...leaving].map(worker => end(worker, 'SIGTERM')))
    },
  }

  function startMember() {
    // In place of one that died, it shares the port with others that serve.
    const worker = fork(served ? [SUCCESSOR] : [])
    const startedAt = Date.now()
    worker.on('message', message => {
      if (message === READY) served = true
    })
    join(worker, startedAt)
  }

  function join(worker: Worker, startedAt: number) {
    members.add(worker)
    worker.on('exit', async (code, signal) => {
      if (!members.delete(worker) || stopping) return
      // Once something serves, a fault that came later, as in `.env`, is no reason to end what works.
      if (HOPELESS.includes(code) && !served) process.exit(code)
      failures = Date.now() - startedAt > WELL_AFTER_MS ? 0 : failures + 1
      const delay = restartDelay(failures)
      logger.error({ worker_pid: worker.process.pid, code, signal, delay_ms: delay }, 'a web process died')
      await sleep(delay)
      if (!stopping) startMember()
    })
  }

  function fork(args: string[]): Worker {
    cluster.setupPrimary({ args })
    const worker = cluster.fork()
    // What cannot be started, or told, is dealt with when it exits; it must not end the supervisor.
    worker.on('error', error => logger.error({ err: error }, 'a web process cannot be reached'))
    gatherMetricsFor(worker, members)
    return worker
  }

  async function replaceInTurn() {
    logger.info('replacing the web processes in turn')
    for (const old of [...members]) {
      if (stopping) return
      const startedAt = Date.now()
      const successor = fork([SUCCESSOR])
      leaving.add(successor)
      const ready = await becomesReady(successor)
      leaving.delete(successor)
      if (!ready) {
        await end(successor, 'SIGTERM')
        logger.error('a successor did not become ready: the old processes stay')
        return
      }
      join(successor, startedAt)
      // It may have died meanwhile; then the one that was started in its place is as new as the successor.
      if (members.delete(old)) await end(old, 'replaced')
    }
    logger.info('replaced')
  }

  async function end(worker: Worker, how: 'SIGTERM' | 'replaced') {
    if (worker.isDead()) return
    leaving.add(worker)
    const exit = once(worker, 'exit')
    if (how === 'replaced') worker.send('replaced')
    else worker.process.kill('SIGTERM')
    const kill = setTimeout(
      () => worker.process.kill('SIGKILL'),
      config.SHUTDOWN_GRACE_SECONDS * 1000 + KILL_MARGIN_MS,
    )
    await exit
    clearTimeout(kill)
    leaving.delete(worker)
  }
}

/** The first death is made good at once; a crash loop slows down. */
function restartDelay(failures: number): number {
  return failures <= 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (failures - 2), LONGEST_DELAY_MS)
}

async function becomesReady(worker: Worker): Promise<boolean> {
  const tooLate = sleep(READY_WITHIN_MS, ['too late'], { ref: false })
  // It serves nobody before that, and so says nothing else.
  const outcome = await Promise.race([once(worker, 'message'), once(worker, 'exit'), tooLate])
  return outcome[0] === READY
}

/** The entry of `npm start`: this file is also what each forked process runs. */
async function main() {
  await runProcess(surroundings =>
    cluster.isPrimary && surroundings.config.WEB_CONCURRENCY > 1
      ? supervise(surroundings)
      : startServer(surroundings),
  )
}

if (isMain(import.meta.url)) await main()
