import { setTimeout as sleep } from 'node:timers/promises'
import { withDatabase } from './lib/database.ts'
import { ask, freePort, type Outcome } from './lib/http.ts'
import { endAfter, expect } from './lib/limits.ts'
import { socketUse, startLoad } from './lib/load.ts'
import {
  builtScript,
  type Service,
  startService,
  temporaryDirectory,
  WATCHED_REQUEST,
} from './lib/service.ts'
import { countBy, describeCounts, ms, quantile } from './lib/stats.ts'
import { until } from './lib/wait.ts'

const PROCESSES = 2
const CONNECTIONS = 32

/** Besides those that are kept: clients that open a connection for every request, as most probes do. */
const FRESH_CONNECTIONS = 2
const REPLACEMENTS = 2
const PATHS = ['/health', '/health/ready', '/openapi.json']
const BACK_LIMIT_MS = 2_000

/** A connection that the killed process was about to get may stay silent; the next one tells more. */
const POLL_LIMIT_MS = 200

endAfter(180)
await withDatabase(async url => {
  const port = await freePort()
  const service = startService(builtScript('cluster.js'), {
    DATABASE_URL: url,
    DATA_DIR: temporaryDirectory(),
    PORT: String(port),
    WEB_CONCURRENCY: String(PROCESSES),
  })
  await until('every process ready', () => readyPids(service).length === PROCESSES || undefined)

  await replaceUnderLoad(service, port)
  await killUnderLoad(service, port)
  expect((await service.stop()) === 0, 'the supervisor ends with 0')
})

async function replaceUnderLoad(service: Service, port: number) {
  const load = startLoad({ port, paths: PATHS, connections: CONNECTIONS })
  const fresh = startLoad({ port, paths: PATHS, connections: FRESH_CONNECTIONS, keepAlive: false })
  await sleep(2_000)
  for (let done = 0; done < REPLACEMENTS; done++) {
    const start = performance.now()
    service.child.kill('SIGHUP')
    await until(
      'replaced',
      () => service.log.filter(line => line.msg === 'replaced').length > done || undefined,
    )
    console.log(`replacement ${done + 1} of all ${PROCESSES} processes took ${ms(performance.now() - start)}`)
    await sleep(1_000)
  }
  const [outcomes, freshOutcomes] = [await load.stop(), await fresh.stop()]
  report(`${CONNECTIONS} keep-alive connections`, outcomes)
  report(`${FRESH_CONNECTIONS} clients that open one for each request`, freshOutcomes)
  expect(
    failures([...outcomes, ...freshOutcomes]).length === 0,
    'no request failed while the processes were replaced',
  )
}

async function killUnderLoad(service: Service, port: number) {
  const load = startLoad({ port, paths: PATHS, connections: CONNECTIONS })
  await sleep(1_000)
  const before = readyPids(service)
  const victim = before.at(-1) ?? 0
  const start = performance.now()
  process.kill(victim, 'SIGKILL')
  const newcomer = await until('an answer of a new process', () => newPidThatAnswers(service, port, before))
  const back = performance.now() - start
  await sleep(1_000)
  const outcomes = await load.stop()

  console.log(`\nkill -9 of ${victim}: its successor ${newcomer} answered ${ms(back)} later`)
  report(`${CONNECTIONS} keep-alive connections`, outcomes)
  const lost = failures(outcomes)
  expect(back <= BACK_LIMIT_MS, `${PROCESSES} processes serve again within ${ms(BACK_LIMIT_MS)}`)
  expect(
    lost.length <= CONNECTIONS && lost.every(({ result }) => result === 'ECONNRESET'),
    'only requests that were in the killed process are lost',
  )
}

/** Over connections of its own, because those that are open stay with the process that has them. */
async function newPidThatAnswers(service: Service, port: number, before: number[]) {
  const id = `${WATCHED_REQUEST}${Math.round(performance.now() * 1000)}`
  const { result } = await ask({
    port,
    path: '/health/ready',
    headers: { 'x-request-id': id },
    limitMs: POLL_LIMIT_MS,
  })
  if (result !== '200') return undefined
  const line = await until('the log line', () => service.log.find(entry => entry.request_id === id))
  return before.includes(line.pid) ? undefined : line.pid
}

function readyPids({ log }: Service): number[] {
  return log.filter(line => line.msg === 'ready').map(line => line.pid)
}

function failures(outcomes: readonly Outcome[]): Outcome[] {
  return outcomes.filter(({ result }) => result !== '200')
}

function report(clients: string, outcomes: readonly Outcome[]) {
  const { opened, onReused } = socketUse(outcomes)
  const p99 = quantile(
    outcomes.map(({ sentAt, endedAt }) => endedAt - sentAt),
    0.99,
  )
  console.log(clients)
  console.log(`requests  ${outcomes.length}, failures ${failures(outcomes).length}`)
  console.log(`statuses  ${describeCounts(countBy(outcomes, ({ result }) => result))}`)
  for (const path of PATHS) {
    const failed = failures(outcomes).filter(outcome => outcome.path === path)
    if (failed.length > 0)
      console.log(`  ${path}: ${describeCounts(countBy(failed, ({ result }) => result))}`)
  }
  console.log(`sockets   ${opened} opened; ${onReused} requests went over one that had been used before`)
  console.log(`p99       ${p99.toFixed(1)} ms`)
}
