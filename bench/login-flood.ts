import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { emailOf, fillAccounts, type SignedIn, signIn, startWebProcess } from './lib/accounts.ts'
import type { Steady, SteadyReport } from './lib/ask-steadily.ts'
import { prepareChild } from './lib/child.ts'
import { openConnection } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import type { Flood, FloodReport } from './lib/flood-logins.ts'
import { endAfter, expect } from './lib/limits.ts'
import { quantile } from './lib/stats.ts'

const PATH = '/api/v1/users/me'
const PER_SECOND = 100

/** So that a client does not come back to an account before most others have been used. */
const ACCOUNTS = 2_000

/** The first requests are slow because they compile the code; they are asked before anything is measured. */
const WARM_UP_SECONDS = 3
const QUIET_SECONDS = 10

const CHEAP_LIMIT_MS = 30
const MEMORY_LIMIT_MB = 300
const SAMPLE_EVERY_MS = 250

const { values } = parseArgs({
  options: { clients: { type: 'string', default: '200' }, seconds: { type: 'string', default: '20' } },
})
const clients = Number(values.clients)
const seconds = Number(values.seconds)
endAfter(120 + seconds)

await withDatabase(async url => {
  const { port, service } = await startWebProcess(url)
  await fillAccounts(url, [
    { kind: 'flood', count: ACCOUNTS },
    { kind: 'asker', count: 1 },
  ])
  const connection = openConnection(port)
  const { token } = await signIn(connection, emailOf('asker', 0))
  connection.close()

  await askAlone(port, token, WARM_UP_SECONDS)
  const before = await askAlone(port, token, QUIET_SECONDS)
  const { flood, during, rss } = await askInFlood(port, token, service.pid)
  reportFlood(flood)
  console.log(`\nGET ${PATH}, ${PER_SECOND} times a second`)
  reportAsked('before', before)
  reportAsked('in the flood', during)
  reportMemory(rss, highestMemory(service.pid))

  const slowest = quantile(during.latencies, 0.99)
  expect(sum(flood.others) === 0, 'every login is answered with 200 or 503')
  expect(flood.withoutRetryAfter === 0, 'each 503 has Retry-After')
  expect(flood.served.length > 0, 'logins are served')
  expect(sum(before.others) + sum(during.others) === 0, `every GET ${PATH} is answered with 200`)
  expect(slowest <= CHEAP_LIMIT_MS, `99 of 100 GET ${PATH} within ${CHEAP_LIMIT_MS} ms`)
  expect(highestMemory(service.pid) < MEMORY_LIMIT_MB, `less than ${MEMORY_LIMIT_MB} MB of memory`)
  expect((await service.stop()) === 0, 'the process ends with 0')
})

async function askAlone(port: number, token: SignedIn['token'], seconds: number): Promise<SteadyReport> {
  const asker = await prepareAsker(port, token, seconds)
  return asker.run()
}

function prepareAsker(port: number, token: string, seconds: number) {
  const task = { port, path: PATH, token, perSecond: PER_SECOND, seconds }
  return prepareChild<Steady, SteadyReport>('ask-steadily.ts', task)
}

/** All processes are started before, because that takes a core for a while. */
async function askInFlood(port: number, token: string, pid: number) {
  const asker = await prepareAsker(port, token, seconds)
  const task = { port, clients, accounts: ACCOUNTS, seconds }
  const flooder = await prepareChild<Flood, FloodReport>('flood-logins.ts', task)
  await sleep(1_000)
  const rss: number[] = []
  const timer = setInterval(() => rss.push(memoryOf(pid, 'VmRSS')), SAMPLE_EVERY_MS)
  const [flood, during] = await Promise.all([flooder.run(), asker.run()])
  clearInterval(timer)
  return { flood, during, rss }
}

function reportFlood({ seconds, served, refused, withoutRetryAfter, others }: FloodReport) {
  const rate = (list: number[]) => (list.length / seconds).toFixed(1)
  console.log(`${clients} clients signing in for ${seconds.toFixed(1)} s`)
  console.log(`served   ${rate(served)}/s, ${latencies(served)}`)
  console.log(`503      ${rate(refused)}/s, ${latencies(refused)}; ${withoutRetryAfter} without Retry-After`)
  console.log(`others   ${JSON.stringify(others)}`)
}

function reportAsked(when: string, { latencies: list, late, others }: SteadyReport) {
  console.log(
    `${when.padEnd(13)} ${list.length} asked, ${latencies(list)}; not 200: ${JSON.stringify(others)}`,
  )
  console.log(`${''.padEnd(13)} of which waiting to be sent: ${latencies(late)}`)
}

function reportMemory(rss: number[], highest: number) {
  const shown = [quantile(rss, 0.5), Math.max(...rss)].map(value => value.toFixed(0))
  console.log(`\nmemory of the service: half the time at most ${shown[0]} MB, at most ${shown[1]} MB`)
  console.log(`highest ever (VmHWM) ${highest.toFixed(0)} MB`)
}

function latencies(list: number[]): string {
  const [p50, p99, most] = [0.5, 0.99, 1].map(share => quantile(list, share).toFixed(1))
  return `p50 ${p50} ms, p99 ${p99} ms, max ${most} ms`
}

function highestMemory(pid: number): number {
  return memoryOf(pid, 'VmHWM')
}

/** In MB of 1 000 000 bytes; the kernel counts in KiB. */
function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1])
  return (kib * 1024) / 1_000_000
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}
