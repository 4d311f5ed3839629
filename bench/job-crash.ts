import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parseConfig } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import {
  BACKOFF_SECONDS,
  countCompleted,
  enqueueNumbers,
  LEASE_SECONDS,
  numberedJob,
  prepareJobs,
  type Run,
  readRuns,
} from './lib/bench-jobs.ts'
import { withDatabase } from './lib/database.ts'
import { atExit, endAfter, expect } from './lib/limits.ts'
import { benchScript, temporaryDirectory } from './lib/service.ts'
import { median } from './lib/stats.ts'
import type { Report } from './lib/work-jobs.ts'

/** Runners look for ended leases this often. */
const LOOK_SECONDS = 2

/** The backoff with its jitter, a look at the queue, and the jobs that are in front. */
const MARGIN_SECONDS = 2 * BACKOFF_SECONDS + 2

/** So that a signal does not always come right after the start of a job. */
const LONGEST_PAUSE_MS = 50

type Signal = 'SIGKILL' | 'SIGTERM'

interface Death {
  worker: number
  at: number
}

interface Worker {
  child: ChildProcess
  /** A signal from now on is handled. */
  ready: boolean
  ran: number
  done: boolean
}

const { values } = parseArgs({
  options: { jobs: { type: 'string', default: '1000' }, signals: { type: 'string', default: '5' } },
})
const jobs = Number(values.jobs)
const signals = Number(values.signals)
endAfter(300)

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  await withDatabase(url => onPostgres(signal, { DATABASE_URL: url }))
  await embedded(signal, { DATA_DIR: temporaryDirectory() })
}

async function onPostgres(signal: Signal, environment: Record<string, string>) {
  const database = await connect(parseConfig(environment))
  const job = numberedJob()
  await prepareJobs(database, job)
  await enqueueNumbers(database.db, job, jobs)
  await database.close()

  console.log(`\nPostgres, two workers, ${signals} times ${signal}`)
  const workers = [start(environment), start(environment)]
  await judge(signal, environment, await signalRepeatedly(signal, workers, () => start(environment)))
}

async function embedded(signal: Signal, environment: Record<string, string>) {
  console.log(`\nembedded, one process, ${signals} times ${signal}`)
  const first = start(environment, jobs)
  const deaths = await signalRepeatedly(signal, [first], () => start(environment))
  await judge(signal, environment, deaths)
}

/** Ends a worker whenever a further share of the jobs has begun, and starts another one in its place. */
async function signalRepeatedly(
  signal: Signal,
  workers: Worker[],
  startAnother: () => Worker,
): Promise<Death[]> {
  const deaths: Death[] = []
  const all = [...workers]
  const ran = () => all.reduce((sum, worker) => sum + worker.ran, 0)
  for (let turn = 1; turn <= signals; turn++) {
    const share = (jobs * turn) / (signals + 1)
    while (ran() < share || !workers.some(worker => worker.ran > 0)) await sleep(1)
    await sleep(Math.random() * LONGEST_PAUSE_MS)
    const index = workers.findIndex(worker => worker.ran > 0)
    const victim = workers[index]
    if (victim === undefined) throw new Error('No worker works.')
    deaths.push(await end(victim, signal))
    const successor = startAnother()
    workers.splice(index, 1)
    workers.push(successor)
    all.push(successor)
  }
  while (!workers.some(worker => worker.done) || !workers.every(worker => worker.ready)) await sleep(5)
  for (const worker of workers) await end(worker, 'SIGTERM')
  return deaths
}

async function end({ child }: Worker, signal: Signal): Promise<Death> {
  const exit = once(child, 'exit')
  if (child.exitCode !== null || child.signalCode !== null) throw new Error('A worker died by itself.')
  child.kill(signal)
  const [code, endedBy] = await exit
  if (signal === 'SIGKILL' ? endedBy !== 'SIGKILL' : code !== 0) {
    throw new Error(`A worker ended with ${endedBy ?? code}.`)
  }
  return { worker: child.pid ?? 0, at: Date.now() }
}

async function judge(signal: Signal, environment: Record<string, string>, deaths: Death[]) {
  const database = await connect(parseConfig(environment))
  const runs = await readRuns(database.db)
  const completed = await countCompleted(database.db, numberedJob())
  await database.close()

  const byNumber = new Map<number, Run[]>()
  for (const run of runs) byNumber.set(run.number, [...(byNumber.get(run.number) ?? []), run])
  const missing = Array.from({ length: jobs }, (_, number) => number).filter(number => !byNumber.has(number))
  const repeated = [...byNumber.values()].filter(list => list.length > 1)
  const skipped = runs.filter(({ attempt }) => attempt > 1).length - (runs.length - byNumber.size)

  console.log(`jobs ${jobs}, completed ${completed}, missing ${missing.length}`)
  console.log(
    `begun more than once ${repeated.length}; taken by a worker that died before it began them ${skipped}`,
  )
  expect(missing.length === 0 && completed === jobs, 'every job ran and is completed')
  if (signal === 'SIGTERM') {
    expect(repeated.length === 0 && runs.every(({ attempt }) => attempt === 1), 'none ran twice')
    return
  }
  expect(repeated.length <= deaths.length * 8, 'none ran twice but those that a killed worker had')
  const waits = runs
    .filter(({ attempt }) => attempt > 1)
    .map(run => (run.began - deathBefore(run, byNumber, deaths)) / 1000)
  if (waits.length === 0) return
  // On the embedded database nobody looks while the only process is being killed and started.
  const killing = ((deaths.at(-1)?.at ?? 0) - (deaths[0]?.at ?? 0)) / 1000
  const limit = Math.ceil(LEASE_SECONDS + LOOK_SECONDS + MARGIN_SECONDS + killing)
  const describe = (seconds: number) => `${seconds.toFixed(1)} s`
  console.log(
    `from a worker's death until its jobs ran again: median ${describe(median(waits))}, longest ${describe(Math.max(...waits))}; lease ${LEASE_SECONDS} s, looked for every ${LOOK_SECONDS} s`,
  )
  expect(Math.max(...waits) <= limit, `none of them later than ${limit} s after it`)
}

/** When the worker died that had this job before, or, if that left no trace, the last one that died. */
function deathBefore(run: Run, byNumber: Map<number, Run[]>, deaths: Death[]): number {
  const before = byNumber.get(run.number)?.find(({ attempt }) => attempt === run.attempt - 1)
  const own = deaths.find(({ worker }) => worker === before?.worker)
  const last = deaths.findLast(({ at }) => at <= run.began)
  return (own ?? last)?.at ?? Number.NaN
}

function start(environment: Record<string, string>, enqueued = 0): Worker {
  const { PATH } = process.env
  const child = fork(benchScript('work-jobs.ts'), [String(enqueued)], {
    cwd: temporaryDirectory(),
    env: { PATH, ...environment },
    execArgv: ['--import', import.meta.resolve('tsx')],
  })
  atExit(() => child.kill('SIGKILL'))
  const worker: Worker = { child, ready: false, ran: 0, done: false }
  child.on('message', (report: Report) => {
    if (report === 'ready') worker.ready = true
    if (report === 'ran') worker.ran++
    if (report === 'done') worker.done = true
  })
  return worker
}
