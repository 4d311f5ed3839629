import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { parseConfig } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import { prepareDatabase } from '../src/prepare.ts'
import {
  emailOf,
  fillAccounts,
  type SignedIn,
  signIn,
  startWebProcess,
  type WebProcess,
} from './lib/accounts.ts'
import { type Asked, openConnection, requestText } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'
import { usageOf } from './lib/usage.ts'

// What keeping answers spares, by the CPU time of the service, and how many reads find something kept. Whoever shows an
// API key, here one that is none, is not answered by what is kept without Redis, so both ways are measured in turn in the
// same process.

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '2' }, reads: { type: 'string', default: '20000' } },
})
/** For each way of asking, in each of the rounds. */
const seconds = Number(values.seconds)
const reads = Number(values.reads)
endAfter(600 + 60 * seconds)

const REDIS_URL = process.env.BENCH_REDIS_URL ?? 'redis://127.0.0.1:6379'
const ROUNDS = 3
const CONNECTIONS = 8
const AUTHORS = 50
const POSTS = 2_000
const ONE_WRITE_IN = 100
const LEAST_GAIN = 2
const LEAST_HIT_RATE = 0.4

const PLAIN = { 'x-api-key': 'none' }

await withDatabase(async url => {
  const database = await connect(parseConfig({ DATABASE_URL: url }))
  await prepareDatabase(database)
  await database.close()
  await fillAccounts(url, [{ kind: 'author', count: AUTHORS }])
  const ids = await fillPosts(url)
  const alone = await startWebProcess(url)
  const shared = await startWebProcess(url, { REDIS_URL })
  const signedIn = await signInAt(alone)
  // Both have looked at what there is, and hear what changes.
  for (const { port } of [alone, shared]) await load(port, [requestText({ path: '/api/v1/posts' })], 1)

  console.log(
    `\n${'server CPU per request, µs (requests/s)'.padEnd(44)} ${'made'.padStart(16)} ${'kept'.padStart(16)} ${'kept, Redis'.padStart(16)} ${'304'.padStart(16)}`,
  )
  const post = `/api/v1/posts/${ids[0]}`
  for (const [title, path] of [
    ['a page of 5 posts', '/api/v1/posts?per_page=5'],
    ['a page of 20 posts', '/api/v1/posts'],
    ['a post', post],
    ['a page of an author’s posts', `/api/v1/users/${signedIn.user_id}/posts?per_page=5`],
  ] as const) {
    const made = { process: alone, asked: { path, headers: PLAIN } }
    const [plain, kept] = await compare(title, [
      made,
      { process: alone, asked: { path } },
      { process: shared, asked: { path } },
      await known(alone, { path }),
    ])
    expect(
      plain !== undefined && kept !== undefined && plain / kept >= LEAST_GAIN,
      `${title}: kept costs at most 1/${LEAST_GAIN}`,
    )
  }
  const stats = { path: '/api/v1/items/stats', token: signedIn.token }
  await compare('item stats', [
    { process: alone, asked: stats },
    undefined,
    { process: shared, asked: stats },
    await known(shared, stats),
  ])
  for (const path of ['/problems/not_found', '/openapi.json']) {
    await compare(path, [
      undefined,
      { process: alone, asked: { path } },
      undefined,
      await known(alone, { path }),
    ])
  }
  const item = { method: 'POST', path: '/api/v1/items', token: signedIn.token, body: { title: 'x' } }
  await compare('a new item (a write, which Redis is told of)', [
    { process: alone, asked: item },
    undefined,
    { process: shared, asked: item },
    undefined,
  ])

  for (const [name, web] of Object.entries({ 'without Redis': alone, 'with Redis': shared }))
    await mix(name, web, ids, signedIn)
  for (const { service } of [alone, shared]) await service.stop()
})

interface Way {
  process: WebProcess
  asked: Asked
}

/** In turn, so that whatever else the machine does befalls all of them. Tells the CPU time of each. */
async function compare(title: string, ways: (Way | undefined)[]) {
  const sums = ways.map(() => ({ cpu_ms: 0, requests: 0 }))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, way] of ways.entries()) {
      const sum = sums[index]
      if (way === undefined || sum === undefined) continue
      const before = usageOf(way.process.service.pid).cpu_ms
      sum.requests += await load(way.process.port, [requestText(way.asked)], seconds)
      sum.cpu_ms += usageOf(way.process.service.pid).cpu_ms - before
    }
  }
  const micros = sums.map(({ cpu_ms, requests }) => (requests === 0 ? undefined : (cpu_ms * 1000) / requests))
  const cells = sums.map(({ requests }, index) => {
    const rate = Math.round(requests / ROUNDS / seconds)
    return requests === 0 ? '–' : `${micros[index]?.toFixed(0)} (${rate})`
  })
  console.log(`${title.padEnd(44)} ${cells.map(cell => cell.padStart(16)).join(' ')}`)
  return micros
}

/** Asked by who has the answer already. */
async function known({ service, port }: WebProcess, asked: Asked): Promise<Way> {
  const url = `http://127.0.0.1:${port}${asked.path}`
  const authorization = asked.token === undefined ? {} : { authorization: `Bearer ${asked.token}` }
  const { headers } = await fetch(url, { headers: authorization })
  return {
    process: { service, port },
    asked: { ...asked, headers: { 'if-none-match': String(headers.get('etag')) } },
  }
}

async function load(port: number, texts: readonly string[], forSeconds: number): Promise<number> {
  const end = performance.now() + forSeconds * 1000
  const counts = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const connection = openConnection(port)
      let count = 0
      for (; performance.now() < end; count++) {
        const { result } = await connection.send(texts[count % texts.length] ?? '')
        if (!['200', '201', '304'].includes(result)) throw new Error(`It was answered with ${result}.`)
      }
      connection.close()
      return count
    }),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}

/** Most read what most others read: the second most popular half as often as the first, and so on. */
async function mix(name: string, { port, service }: WebProcess, ids: string[], { user_id, token }: SignedIn) {
  const popular = zipf(ids.length)
  const before = await cacheResults(port)
  const memory = usageOf(service.pid).rss
  let asked = 0
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const connection = openConnection(port)
      while (asked < reads) {
        asked++
        const path = `/api/v1/posts/${ids[popular()]}`
        const kind = Math.random()
        if (asked % ONE_WRITE_IN === 0) {
          // Of this author’s own, each of which is one in AUTHORS.
          const own = `/api/v1/posts/${ids[Math.floor(popular() / AUTHORS) * AUTHORS]}`
          const { result } = await connection.ask({
            method: 'PATCH',
            path: own,
            token,
            body: { title: `Title ${asked}` },
          })
          if (result !== '200') throw new Error(`A write was answered with ${result}.`)
        } else if (kind < 0.6) await connection.ask({ path })
        else if (kind < 0.9) await connection.ask({ path: `/api/v1/posts?per_page=${kind < 0.8 ? 5 : 20}` })
        else await connection.ask({ path: `/api/v1/users/${user_id}/posts` })
      }
      connection.close()
    }),
  )
  const after = await cacheResults(port)
  if (after === undefined)
    return console.log(`${name}: GET /metrics does not tell how many reads found something kept`)
  const found = (result: string) => (after.get(result) ?? 0) - (before?.get(result) ?? 0)
  const [hit, miss, dedupe, bypass] = ['hit', 'miss', 'dedupe', 'bypass'].map(found) as [
    number,
    number,
    number,
    number,
  ]
  const rate = (hit + dedupe) / (hit + miss + dedupe + bypass)
  console.log(
    `${name}: ${hit} hits, ${dedupe} waited for another, ${miss} misses, ${bypass} passed by: ${(100 * rate).toFixed(1)} %; memory ${memory.toFixed(0)} → ${usageOf(service.pid).rss.toFixed(0)} MB`,
  )
  expect(
    rate >= LEAST_HIT_RATE,
    `${name}: of reads with 1 % writes, ${100 * LEAST_HIT_RATE} % ask the database nothing`,
  )
}

function zipf(count: number) {
  const weights = Array.from({ length: count }, (_, rank) => 1 / (rank + 1))
  let sum = 0
  const bounds = weights.map(weight => (sum += weight))
  return () => {
    const drawn = Math.random() * sum
    return bounds.findIndex(bound => bound >= drawn)
  }
}

async function cacheResults(port: number): Promise<Map<string, number> | undefined> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`)
  if (!answer.ok) return undefined
  const lines = (await answer.text()).matchAll(
    /^plinth_cache_requests_total\{.*cache="posts".*result="(\w+)".*\} (\d+)/gm,
  )
  return new Map([...lines].map(([, result = '', count]) => [result, Number(count)]))
}

async function signInAt({ port }: WebProcess): Promise<SignedIn> {
  const connection = openConnection(port)
  const signedIn = await signIn(connection, emailOf('author', 0))
  connection.close()
  return signedIn
}

/** The first of each AUTHORS is of the first author. */
async function fillPosts(url: string): Promise<string[]> {
  const client = postgres(url, { max: 1, onnotice: () => {} })
  const rows = await client`
    insert into posts (id, author_id, title, content, created_at)
    select gen_random_uuid(), author.id, 'Post ' || number, repeat('What it says. ', 40), now() - number * interval '1 s'
    from generate_series(0, ${POSTS - 1}) as number
    join (select id, row_number() over (order by email) - 1 as rank from users) as author
      on author.rank = number % ${AUTHORS}
    order by number
    returning id`
  await client`vacuum (analyze) posts`
  await client.end()
  return rows.map(({ id }) => id)
}
