import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { emailOf, fillAccounts, type SignedIn, signIn, startWebProcess } from './lib/accounts.ts'
import { openConnection } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { type EventClient, openEventClient } from './lib/event-client.ts'
import { endAfter, expect } from './lib/limits.ts'
import { quantile } from './lib/stats.ts'
import { usageOf } from './lib/usage.ts'
import { until } from './lib/wait.ts'

/** From the request that makes a change on one process to its event at a client of another one. */
const LIMIT_MS = 1_000

/** So long nobody does anything, which includes a heartbeat. */
const IDLE_MS = 20_000

/** Each user creates an item this often, in turn. */
const WRITE_EVERY_MS = 20

const { values } = parseArgs({
  options: {
    users: { type: 'string', default: '100' },
    streams: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '20' },
  },
})
const users = Number(values.users)
/** Of each user: as many as are allowed. */
const streams = Number(values.streams)
/** In each of the two parts. */
const seconds = Number(values.seconds)

endAfter(240 + 2 * seconds)

await withDatabase(async url => {
  const limits = { EVENT_STREAMS_PER_USER: String(streams) }
  let near = await startWebProcess(url, limits)
  const far = await startWebProcess(url)
  await fillAccounts(url, [{ kind: 'user', count: users }])
  const connection = openConnection(far.port)
  const people: SignedIn[] = []
  for (let number = 0; number < users; number++) {
    people.push(await signIn(connection, emailOf('user', number)))
  }

  const before = usageOf(near.service.pid)
  const started = performance.now()
  const clients = people.map(({ token }) =>
    Array.from({ length: streams }, () => openEventClient(near.port, token)),
  )
  const all = clients.flat()
  await allConnected(all)
  console.log(`${all.length} streams open after ${(performance.now() - started).toFixed(0)} ms`)
  await sleep(1_000)
  const idleFrom = usageOf(near.service.pid)
  await sleep(IDLE_MS)
  const idle = usageOf(near.service.pid)
  showMemory('without streams', before.rss)
  showMemory('idle', idle.rss)
  console.log(
    `CPU idle              ${(((idle.cpu_ms - idleFrom.cpu_ms) / IDLE_MS) * 100).toFixed(1)} % of a core`,
  )

  const written = new Map<string, number>()
  const deliveryFrom = usageOf(near.service.pid)
  await write(seconds * 1_000)
  const delivering = usageOf(near.service.pid)
  await everythingArrived()
  showMemory('delivering', delivering.rss)
  const cpu = (delivering.cpu_ms - deliveryFrom.cpu_ms) / (seconds * 10)
  console.log(`CPU delivering        ${cpu.toFixed(1)} % of a core`)
  showLatencies()

  // All of them cut off, and later the process killed, while changes go on.
  const until_ms = performance.now() + seconds * 1_000
  const writing = write(seconds * 1_000)
  await sleep(2_000)
  for (const client of all) client.cut()
  await allConnected(all)
  await sleep(2_000)
  near.service.child.kill('SIGKILL')
  const killed = performance.now()
  await sleep(500)
  near = { ...(await startWebProcess(url, { ...limits, PORT: String(near.port) })), port: near.port }
  await allConnected(all)
  console.log(`after kill -9         all connected again ${(performance.now() - killed).toFixed(0)} ms later`)
  expect(performance.now() < until_ms, 'in the midst of the changes')
  await writing
  await everythingArrived()
  showMemory('after it all', usageOf(near.service.pid).rss)
  await compare(url)

  const stopping = performance.now()
  expect((await near.service.stop()) === 0, 'the process with all streams ends with 0')
  console.log(`SIGTERM               ended after ${(performance.now() - stopping).toFixed(0)} ms`)
  for (const client of all) client.end()
  connection.close()
  expect((await far.service.stop()) === 0, 'the other one, too')

  /** On the other process, one after the other. */
  async function write(duration_ms: number) {
    const end = performance.now() + duration_ms
    for (let turn = 0; performance.now() < end; turn++) {
      const { token } = people[turn % people.length] as SignedIn
      const body = { title: `Item ${turn}` }
      const answer = await connection.ask({ method: 'POST', path: '/api/v1/items', token, body })
      if (answer.result !== '201')
        throw new Error(`A create was answered with ${answer.result}: ${answer.body}`)
      written.set(JSON.parse(answer.body).id, answer.sentAt)
      await sleep(Math.max(WRITE_EVERY_MS - (performance.now() - answer.sentAt), 0))
    }
  }

  async function everythingArrived() {
    const expected = written.size * streams
    const arrived = () => all.reduce((sum, client) => sum + client.arrivals.length, 0)
    await until(`${expected} arrivals`, () => arrived() >= expected || undefined).catch(() => {})
  }

  function showLatencies() {
    const latencies = all.flatMap(({ arrivals }) =>
      arrivals.map(({ subject, at }) => at - (written.get(subject) ?? Number.NaN)),
    )
    const [p50, p99, most] = [0.5, 0.99, 1].map(share => quantile(latencies, share))
    const rate = (written.size / seconds).toFixed(0)
    console.log(`latency               ${written.size} changes (${rate}/s), ${latencies.length} arrivals`)
    console.log(`                      p50 ${show(p50)}, p99 ${show(p99)}, longest ${show(most)}`)
    expect(Number(p99) < LIMIT_MS, `within ${LIMIT_MS} ms at the 99th percentile`)
  }

  /** What each client heard, with what the database says that happened to its user. */
  async function compare(from: string) {
    const client = postgres(from, { max: 1, onnotice: () => {} })
    const rows = await client<{ owner_id: string; subject_id: string }[]>`
      select owner_id, subject_id from events where type = 'item.created' order by transaction_id, id`
    await client.end()
    let [lost, repeated, disordered] = [0, 0, 0]
    for (const [index, { user_id }] of people.entries()) {
      const owed = rows.filter(({ owner_id }) => owner_id === user_id).map(({ subject_id }) => subject_id)
      for (const { arrivals } of clients[index] ?? []) {
        const heard = arrivals.map(({ subject }) => subject)
        const distinct = new Set(heard)
        lost += owed.filter(subject => !distinct.has(subject)).length
        repeated += heard.length - distinct.size
        if (heard.join() !== owed.join()) disordered++
      }
    }
    const connections = all.reduce((sum, each) => sum + each.connections, 0)
    console.log(
      `reconnecting          ${connections} connections, ${rows.length} changes: ${lost} lost, ${repeated} repeated`,
    )
    expect(lost === 0 && repeated === 0 && disordered === 0, 'each event once and in order')
    expect(
      all.every(({ strange }) => strange.every(status => status === '503')),
      'nobody was refused',
    )
  }
})

function allConnected(clients: EventClient[]) {
  return until('all connected', () => clients.every(({ isConnected }) => isConnected) || undefined)
}

function show(value = Number.NaN): string {
  return `${value.toFixed(0)} ms`
}

function showMemory(when: string, rss: number) {
  console.log(`memory ${when.padEnd(15)}${rss.toFixed(0)} MB`)
}
