import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { emailOf, fillAccounts, signIn, startWebProcess } from './lib/accounts.ts'
import { prepareChild } from './lib/child.ts'
import { openConnection, requestText } from './lib/connection.ts'
import { accepts } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'
import type { Offer, Offered } from './lib/offer-load.ts'
import { overloadPlot } from './lib/overload-plot.ts'
import { ownPostgres } from './lib/own-postgres.ts'
import { pin } from './lib/pin.ts'
import { usageOf } from './lib/usage.ts'
import { until } from './lib/wait.ts'

const FACTORS = [0.5, 0.75, 0.9, 1, 1.5, 2, 3, 4]
const USERS = 20
const ITEMS_OF_EACH = 1_000

/** As many as would be there without anything between them and the service. */
const CONNECTIONS = 4_000
const CLOSED_CONNECTIONS = 64
/** A busy benchmark, which must not be taken for an overload. */
const MANY_CLOSED = 300
const WARM_UP_SECONDS = 6
const CAPACITY_SECONDS = 6
const SETTLE_SECONDS = 4

const LEAST_GOODPUT = 0.85
const MOST_LATENCY = 2

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '8' },
    factors: { type: 'string', default: FACTORS.join(',') },
    /** `requests`: the event loop is what is scarce; `searches`: the database. */
    mixes: { type: 'string', default: 'requests,searches' },
    shedding: { type: 'string', default: 'true,false' },
  },
})
const seconds = Number(values.seconds)
const factors = values.factors.split(',').map(Number)

export interface Step extends Offered {
  factor: number
  per_second: number
  seconds: number
  rss_mb: number
  /** Of a core, by the web process. */
  cpu_share: number
}

export interface Curve {
  mix: string
  shedding: boolean
  capacity: number
  /** Of the requests of MANY_CLOSED clients that ask one after the other. */
  refused_closed: number
  steps: Step[]
}

type Kinds = Offer['kinds']

const mixes = values.mixes.split(',')
const sheddings = values.shedding.split(',').map(value => value === 'true')
endAfter(120 + mixes.length * sheddings.length * (60 + factors.length * (seconds + SETTLE_SECONDS + 5)))

// What is not told otherwise runs where the generator does, so that the service has a core for itself.
const isPinned = pin(process.pid, 1)
if (!isPinned) console.log('Without `taskset` all share all cores: figures are worth little.')
const server = await ownPostgres()
server.start()
await until('Postgres', async () => (await accepts(server.url)) || undefined)
await withoutDisk(server.url)

const curves: Curve[] = []
for (const mix of mixes) {
  let capacity: number | undefined
  for (const shedding of sheddings) {
    const curve = await measure(mix, shedding, capacity)
    capacity = curve.capacity
    curves.push(curve)
  }
}
for (const curve of curves) if (curve.shedding) judge(curve)
if (curves.length === 4) keep()

/** What a commit takes is the disk's time, of which one machine has ten times as much as another. */
async function withoutDisk(url: string) {
  const client = postgres(url, { max: 1 })
  await client`alter system set synchronous_commit = off`
  await client`select pg_reload_conf()`
  await client.end()
}

async function measure(mix: string, shedding: boolean, known: number | undefined): Promise<Curve> {
  const { port, service } = await startWebProcess(server.url, { LOAD_SHEDDING: String(shedding) })
  if (isPinned) pin(service.pid, 0)
  const kinds = await kindsOf(mix, port)
  await offer({ port, kinds, connections: CLOSED_CONNECTIONS, seconds: WARM_UP_SECONDS })
  const before = usageOf(service.pid).cpu_ms
  const closed = await offer({ port, kinds, connections: CLOSED_CONNECTIONS, seconds: CAPACITY_SECONDS })
  const cpu = (usageOf(service.pid).cpu_ms - before) / (CAPACITY_SECONDS * 10)
  const capacity = known ?? closed.good / CAPACITY_SECONDS
  console.log(
    `\n${mix}, shedding ${shedding ? 'on' : 'off'}; capacity ${capacity.toFixed(0)}/s at ${cpu.toFixed(0)} % of a core`,
  )
  console.log(`   closed loop of ${CLOSED_CONNECTIONS}: ${row(closed, CAPACITY_SECONDS)}`)
  const many = await offer({ port, kinds, connections: MANY_CLOSED, seconds: CAPACITY_SECONDS })
  console.log(`  closed loop of ${MANY_CLOSED}: ${row(many, CAPACITY_SECONDS)}`)
  const steps: Step[] = []
  for (const factor of factors) {
    const per_second = factor * capacity
    const cpu_before = usageOf(service.pid).cpu_ms
    const found = await offer({ port, kinds, connections: CONNECTIONS, seconds, per_second })
    const { rss: rss_mb, cpu_ms } = usageOf(service.pid)
    const cpu_share = (cpu_ms - cpu_before) / ((seconds + SETTLE_SECONDS) * 1000)
    steps.push({ ...found, factor, per_second, seconds, rss_mb, cpu_share })
    console.log(
      `${String(factor).padStart(5)} × ${row(found, seconds)}, ${rss_mb.toFixed(0)} MB, ` +
        `${(100 * cpu_share).toFixed(0)} % of a core, ${(found.good / seconds / cpu_share).toFixed(0)} good per second of it`,
    )
  }
  await service.stop()
  return { mix, shedding, capacity, refused_closed: many.refused, steps }
}

async function offer(given: Omit<Offer, 'settle_seconds'>): Promise<Offered> {
  const child = await prepareChild<Offer, Offered>('offer-load.ts', {
    ...given,
    settle_seconds: given.per_second === undefined ? 0 : SETTLE_SECONDS,
  })
  return child.run()
}

async function kindsOf(mix: string, port: number): Promise<Kinds> {
  const users = await usersWithItems(port)
  const each = (request: (user: User) => Parameters<typeof requestText>[0]) =>
    users.map(user => requestText({ ...request(user), token: user.token }))
  const single = each(({ item_id }) => ({ path: `/api/v1/items/${item_id}` }))
  if (mix === 'searches') {
    // All of a user's items have the word: Postgres reads, counts and sorts a thousand rows.
    const search = each(() => ({ path: '/api/v1/items?search=thing&sort=price' }))
    return [
      { share: 0.5, texts: search },
      { share: 0.5, texts: single },
    ]
  }
  const body = { title: 'A table', description: 'Of oak, for six people', price: '125.50' }
  return [
    { share: 0.5, texts: each(() => ({ path: '/api/v1/items?page=1&per_page=20' })) },
    { share: 0.35, texts: single },
    { share: 0.15, texts: each(() => ({ method: 'POST', path: '/api/v1/items', body })) },
  ]
}

interface User {
  token: string
  item_id: string
}

/** Made once, signed in for each process. */
async function usersWithItems(port: number): Promise<User[]> {
  const client = postgres(server.url, { max: 1, onnotice: () => {} })
  const [{ count } = { count: 0 }] = await client`select count(*)::int as count from users`
  if (count === 0) {
    await fillAccounts(server.url, [{ kind: 'buyer', count: USERS }])
    await client`
      insert into items (id, user_id, title, description, status, price)
      select gen_random_uuid(), users.id, 'Item ' || n, 'A thing to be found, number ' || n, 'draft', n % 500
      from users, generate_series(1, ${ITEMS_OF_EACH}) n`
    await client`vacuum (analyze) items`
  }
  const connection = openConnection(port)
  const users: User[] = []
  for (let number = 0; number < USERS; number++) {
    const { token, user_id } = await signIn(connection, emailOf('buyer', number))
    const [item] = await client`select id from items where user_id = ${user_id} limit 1`
    users.push({ token, item_id: item?.id })
  }
  connection.close()
  await client.end()
  return users
}

function row(found: Offered, duration: number): string {
  const rate = (count: number) => (count / duration).toFixed(0).padStart(5)
  const both = ({ p50, p99 }: Offered['health_ms']) => `${p50?.toFixed(1) ?? '–'} / ${p99?.toFixed(1) ?? '–'}`
  const odd = Object.keys(found.others).length > 0 ? `, others ${JSON.stringify(found.others)}` : ''
  return (
    `offered ${rate(found.offered)}, good ${rate(found.good)}, late ${rate(found.late)}, 503 ${rate(found.refused)}; ` +
    `ms p50 / p99: admitted ${both(found.admitted_ms)}, refused ${both(found.refused_ms)}, ` +
    `health ${both(found.health_ms)}, lag ${both(found.lag_ms)}${odd}`
  )
}

function judge({ mix, steps, refused_closed }: Curve) {
  const goodput = ({ good, seconds: duration }: Step) => good / duration
  const peak = Math.max(...steps.map(goodput))
  const last = steps.at(-1)
  const below = steps.filter(({ factor }) => factor <= 0.9).at(-1)
  if (last === undefined || below === undefined) return
  console.log(`\n${mix}: at ${last.factor} × ${((100 * goodput(last)) / peak).toFixed(1)} % of the peak`)
  // Of searches, each of them would wait for the better part of a second: that is too much.
  if (mix === 'requests')
    expect(refused_closed === 0, `${MANY_CLOSED} clients that ask one after the other are refused nothing`)
  expect(goodput(last) >= LEAST_GOODPUT * peak, `at least ${100 * LEAST_GOODPUT} % of the peak is served`)
  expect(
    steps.every(({ others }) => Object.keys(others).length === 0),
    'nothing but successes and 503 with Retry-After',
  )
  expect(
    Number(last.admitted_ms.p99) <= MOST_LATENCY * Math.max(Number(below.admitted_ms.p99), 50),
    `those who are admitted wait at most ${MOST_LATENCY} times as long (p99) as at ${below.factor} ×, or as 50 ms`,
  )
  expect(Number(last.refused_ms.p50) <= 5, 'half of the refused know within 5 ms')
}

function keep() {
  const directory = fileURLToPath(new URL('plots/', import.meta.url))
  mkdirSync(directory, { recursive: true })
  writeFileSync(`${directory}overload.svg`, overloadPlot(curves))
  writeFileSync(`${directory}overload.json`, `${JSON.stringify(curves, null, 2)}\n`)
}
