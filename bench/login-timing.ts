import { parseArgs } from 'node:util'
import { emailOf, fillAccounts, login, startWebProcess } from './lib/accounts.ts'
import { type Asked, type Connection, openConnection } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'
import { median, quantile } from './lib/stats.ts'

/** Medians that are further apart than this tell, after a few tries, whether there is such an account. */
const MOST_APART = 0.05

/** A link costs a twentieth of a login, and its median needs more samples to be as steady. */
const LINKS_PER_LOGIN = 3

/** Requests until the code is compiled and the pool has its connections; they are not counted. */
const WARM_UP = 40

/** The two-sample Kolmogorov–Smirnov test calls two distributions different beyond this, once in a hundred wrongly. */
const KS_CRITICAL = 1.628

const { values } = parseArgs({ options: { samples: { type: 'string', default: '400' } } })
const samples = Number(values.samples)
const links = samples * LINKS_PER_LOGIN
endAfter(600)

type Requests = Record<string, (number: number) => Asked>

/** Each sample has an e-mail of its own, because ten failures lock; all are as long as each other. */
const logins: Requests = {
  'unknown e-mail': number => login(emailOf('absent', number), 'not the password'),
  'wrong password': number => login(emailOf('exists', number), 'not the password'),
  'deleted user': number => login(emailOf('closed', number), 'not the password'),
}

const forgotten: Requests = {
  'unknown e-mail': number => forgot(emailOf('absent', number)),
  'known e-mail': number => forgot(emailOf('exists', number)),
}

await withDatabase(async url => {
  const { port, service } = await startWebProcess(url)
  const count = WARM_UP + Math.max(samples, links)
  await fillAccounts(url, [
    { kind: 'exists', count },
    { kind: 'closed', count, deleted: true },
  ])
  const connection = openConnection(port)
  report('POST /auth/login', await measure(connection, logins, samples, '401'))
  report('POST /auth/forgot-password', await measure(connection, forgotten, links, '202'))
  connection.close()
  expect((await service.stop()) === 0, 'the process ends with 0')
})

function forgot(email: string): Asked {
  return { method: 'POST', path: '/api/v1/auth/forgot-password', body: { email } }
}

/** One at a time, and the kinds in random order, so that what else the machine does hits all of them alike. */
async function measure(connection: Connection, requests: Requests, count: number, answer: string) {
  const bodies = new Set<string>()
  const times = new Map(Object.keys(requests).map(kind => [kind, [] as number[]]))
  for (let number = 0; number < WARM_UP + count; number++) {
    for (const [kind, make] of shuffled(Object.entries(requests))) {
      const { result, body, sentAt, endedAt } = await connection.ask(make(number))
      if (result !== answer) throw new Error(`${kind} was answered with ${result}: ${body}`)
      bodies.add(withoutRequest(body))
      if (number >= WARM_UP) times.get(kind)?.push(endedAt - sentAt)
    }
  }
  expect(bodies.size === 1, 'all of them get the same answer')
  return Object.fromEntries(times)
}

/** The only thing by which answers may differ. */
function withoutRequest(body: string): string {
  return body.replace(/"request_id":"[^"]*"/, '')
}

function report(title: string, times: Record<string, number[]>) {
  console.log(`\n${title}: ms`)
  console.log(row(['', 'n', 'min', 'p25', 'median', 'p75', 'p95', 'p99', 'mean']))
  for (const [kind, list] of Object.entries(times)) console.log(row([kind, ...figures(list)]))
  const [first = ['', []], ...others] = Object.entries(times)
  for (const other of others) compare(first, other)
  const medians = Object.values(times).map(median)
  const apart = Math.max(...medians) / Math.min(...medians) - 1
  expect(apart <= MOST_APART, `medians are within ${MOST_APART * 100} % (${(apart * 100).toFixed(2)} %)`)
}

function figures(list: number[]): string[] {
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length
  const quantiles = [0.25, 0.5, 0.75, 0.95, 0.99].map(share => quantile(list, share))
  return [String(list.length), ...[Math.min(...list), ...quantiles, mean].map(value => value.toFixed(2))]
}

function row([name = '', ...cells]: string[]): string {
  return name.padEnd(16) + cells.map(cell => cell.padStart(9)).join('')
}

function compare([name, list]: [string, number[]], [otherName, other]: [string, number[]]) {
  const ratio = (median(other) / median(list)).toFixed(4)
  const distance = kolmogorovSmirnov(list, other)
  const critical = KS_CRITICAL * Math.sqrt((list.length + other.length) / (list.length * other.length))
  const verdict = distance > critical ? 'different' : 'not told apart'
  console.log(`${otherName} / ${name}: ratio of medians ${ratio}; Kolmogorov–Smirnov ${distance.toFixed(3)},`)
  console.log(`  at the level of 1 % critical from ${critical.toFixed(3)}: ${verdict}`)
}

/** The largest difference between the shares of both that lie below any one time. */
function kolmogorovSmirnov(list: number[], other: number[]): number {
  const share = (sorted: number[], time: number) => countUpTo(sorted, time) / sorted.length
  const [a, b] = [list.toSorted((x, y) => x - y), other.toSorted((x, y) => x - y)]
  return Math.max(...[...a, ...b].map(time => Math.abs(share(a, time) - share(b, time))))
}

function countUpTo(sorted: number[], time: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) <= time) low = middle + 1
    else high = middle
  }
  return low
}

function shuffled<T>(list: T[]): T[] {
  const drawn = list.map(value => ({ value, lot: Math.random() }))
  return drawn.sort((a, b) => a.lot - b.lot).map(({ value }) => value)
}
