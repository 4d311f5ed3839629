import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { accepts } from './lib/database.ts'
import { ask, freePort, type Outcome } from './lib/http.ts'
import { endAfter, expect } from './lib/limits.ts'
import { startLoad } from './lib/load.ts'
import { ownPostgres } from './lib/own-postgres.ts'
import { benchScript, startService, temporaryDirectory } from './lib/service.ts'
import { ms } from './lib/stats.ts'
import { timeline } from './lib/timeline.ts'
import { until } from './lib/wait.ts'

const { values } = parseArgs({
  options: { connections: { type: 'string', default: '16' }, rounds: { type: 'string', default: '1' } },
})
const connections = Number(values.connections)
const rounds = Number(values.rounds)

const PATHS = ['/api/v1/bench-probe', '/api/v1/bench-probe-transaction']
const PROBE_EVERY_MS = 50
const NOTICE_LIMIT_MS = 2_000

/** Longer than the time limit of a statement (10 s) and what comes on top of it, so that those which hang are seen to end. */
const FROZEN_MS = 20_000
const DOWN_MS = 6_000

/** How long the load goes on after the database is back. */
const AFTERWARDS_MS = 5_000

endAfter(60 + rounds * 60)
const database = await ownPostgres()
database.start()
await until('the server', async () => (await accepts(database.url)) || undefined)

const port = await freePort()
const service = startService(benchScript('probe-server.ts'), {
  DATABASE_URL: database.url,
  DATA_DIR: temporaryDirectory(),
  PORT: String(port),
  // Every request that fails is logged with its stack; that is not what is measured here.
  LOG_LEVEL: 'fatal',
})
await until('readiness', async () => (await readiness()).result === '200' || undefined)

for (let round = 0; round < rounds; round++) {
  await outage('Postgres is ended at once and started again', DOWN_MS, database.crash, database.start)
  await outage('Postgres is frozen and thawed', FROZEN_MS, database.freeze, database.thaw)
}
expect(service.child.exitCode === null && service.child.signalCode === null, 'the service is still running')
expect((await service.stop()) === 0, 'and ends with 0')

async function outage(title: string, lengthMs: number, takeAway: () => void, giveBack: () => void) {
  console.log(`\n${title}`)
  const load = startLoad({ port, paths: PATHS, connections })
  const probe = startProbe()
  await sleep(2_000)

  const goneAt = performance.now()
  takeAway()
  await sleep(lengthMs)
  giveBack()
  await until('the server', async () => (await accepts(database.url)) || undefined, { everyMs: 20 })
  const backAt = performance.now()

  await sleep(AFTERWARDS_MS)
  const [outcomes, probes] = [await load.stop(), await probe.stop()]
  report(outcomes, probes, goneAt, backAt)
}

function report(outcomes: readonly Outcome[], probes: readonly Outcome[], goneAt: number, backAt: number) {
  console.log(
    `requests from ${connections} connections, by the time of the answer; 0 is when the database went`,
  )
  for (const line of timeline(outcomes, goneAt)) console.log(line)
  console.log('readiness')
  for (const line of timeline(probes, goneAt)) console.log(line)

  const noticed = firstAfter(probes, goneAt, '503')
  const refused = firstAfter(outcomes, goneAt, '503')
  const [answered, ready] = [firstAfter(outcomes, backAt, '200'), firstAfter(probes, backAt, '200')]
  const slowest = Math.max(...outcomes.map(({ sentAt, endedAt }) => endedAt - sentAt))
  console.log(`gone: readiness 503 after ${ms(noticed)}, the first request 503 after ${ms(refused)}`)
  console.log(`back: the first 200 after ${ms(answered)}, ready after ${ms(ready)}`)
  console.log(
    `the last 503 came ${ms(lastOf(outcomes, '503') - backAt)} after the server accepted connections`,
  )
  console.log(`the slowest answer took ${ms(slowest)}`)

  const all = [...outcomes, ...probes]
  expect(noticed <= NOTICE_LIMIT_MS, `readiness says 503 within ${ms(NOTICE_LIMIT_MS)}`)
  expect(
    all.every(({ result, retryAfter }) => result !== '503' || retryAfter !== undefined),
    'every 503 has Retry-After',
  )
  expect(
    all.every(({ result }) => result === '200' || result === '503'),
    'nothing but 200 and 503 was answered, and no socket failed',
  )
  expect(Number.isFinite(answered) && Number.isFinite(ready), 'the service is back without a restart')
}

/** How long after `since` the first such answer came. */
function firstAfter(outcomes: readonly Outcome[], since: number, result: string): number {
  const times = outcomes.filter(outcome => outcome.result === result && outcome.endedAt >= since)
  return Math.min(...times.map(({ endedAt }) => endedAt)) - since
}

function lastOf(outcomes: readonly Outcome[], result: string): number {
  return Math.max(...outcomes.filter(outcome => outcome.result === result).map(({ endedAt }) => endedAt))
}

/** Asks for readiness at a steady pace, without waiting for the answer before. */
function startProbe() {
  const pending: Promise<Outcome>[] = []
  const timer = setInterval(() => pending.push(readiness()), PROBE_EVERY_MS)
  return {
    stop() {
      clearInterval(timer)
      return Promise.all(pending)
    },
  }
}

function readiness(): Promise<Outcome> {
  return ask({ port, path: '/health/ready' })
}
