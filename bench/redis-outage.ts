import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import {
  emailOf,
  fillAccounts,
  type SignedIn,
  signIn,
  startWebProcess,
  type WebProcess,
} from './lib/accounts.ts'
import { type Answer, openConnection, requestText } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { hammer } from './lib/hammer.ts'
import { limitsTold } from './lib/limit-fields.ts'
import { endAfter, expect } from './lib/limits.ts'
import { ownRedis, untilShared } from './lib/own-redis.ts'
import { startSlowProxy } from './lib/slow-proxy.ts'
import { countBy, describeCounts, quantile } from './lib/stats.ts'
import { until } from './lib/wait.ts'

// Redis is nice to have: no request fails, or waits long, because it is away, and limits hold all the same.

const ME = '/api/v1/users/me'

/** Whoever asks for Redis waits so long for it, and no longer. */
const PATIENCE_MS = 50

/** What the answer itself takes, on a machine that does other things too. */
const SLACK_MS = 100

const USERS = 4

/** Of each process. */
const CONNECTIONS = 6
const PAUSE_MS = 8
const CREATES = 4

/** Those whose limit is to be reached are in the other tier. */
const SMALL = 60

/** So many are used up before Redis goes. */
const USED_BEFORE = 50

const BEFORE_MS = 3_000
const AFTERWARDS_MS = 2_000

/** Redis is looked for every second, and connected to after at most two. */
const RETURN_LIMIT_MS = 12_000

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '4' }, only: { type: 'string', default: '' } },
})
const awayMs = Number(values.seconds) * 1000
endAfter(300)

interface Outage {
  title: string
  begin: () => unknown
  /** Where it is not over by itself. */
  end?: () => unknown
}

const AWAY = 'Redis is away'
const BACK = 'Redis is back'

let nextSmall = 0

await withDatabase(async url => {
  const redis = await ownRedis()
  await redis.start()
  const proxy = await startSlowProxy(redis.port)
  const door = await startWebProcess(url)
  const { users, small } = await makeAccounts(url, door.port)
  await door.service.stop()

  await withTwo(url, redis.url, async both => {
    const play = (outage: Outage) => playOutage(both, users, small, outage)
    await play({ title: 'frozen and resumed', begin: redis.freeze, end: redis.thaw })
    await play({ title: 'killed and started again, empty', begin: redis.kill, end: redis.start })
    await play({
      title: 'restarted at once, empty',
      begin: async () => {
        await redis.kill()
        await redis.start()
      },
    })
  })
  await withTwo(url, `redis://127.0.0.1:${proxy.port}`, async both => {
    const play = (outage: Outage) => playOutage(both, users, small, outage)
    await play({ title: 'slow: 200 ms', begin: () => proxy.delay(200), end: () => proxy.delay(0) })
    await play({ title: 'its connections are forgotten on the way', begin: proxy.forgetConnections })
    const own = redis.connect()
    await play({
      title: 'takes no writes',
      begin: () => own.config('SET', 'min-replicas-to-write', '1'),
      end: () => own.config('SET', 'min-replicas-to-write', '0'),
    })
    own.disconnect()
  })
  proxy.stop()
  await redis.kill()
})

type Both = [WebProcess, WebProcess]

async function withTwo(url: string, redisUrl: string, work: (both: Both) => Promise<void>) {
  const environment = {
    RATELIMIT_ENABLED: 'true',
    RATELIMIT_STANDARD: '1000000/hour',
    RATELIMIT_PREMIUM: `${SMALL}/hour`,
    REDIS_URL: redisUrl,
  }
  const start = () => startWebProcess(url, environment, { keepLog: true })
  const both: Both = [await start(), await start()]
  for (const { port } of both) await untilShared(port)
  await work(both)
  for (const { service } of both) expect((await service.stop()) === 0, 'a process ends with 0')
}

async function makeAccounts(url: string, port: number) {
  const smallCount = 30
  await fillAccounts(url, [
    { kind: 'user', count: USERS },
    { kind: 'small', count: smallCount },
  ])
  const client = postgres(url, { max: 1, onnotice: () => {} })
  await client`update users set tier = 'premium' where email like 'small-%'`
  await client.end()
  const connection = openConnection(port)
  const signInAll = async (kind: string, count: number) => {
    const all: SignedIn[] = []
    for (let number = 0; number < count; number++) all.push(await signIn(connection, emailOf(kind, number)))
    return all
  }
  const users = await signInAll('user', USERS)
  const small = await signInAll('small', smallCount)
  connection.close()
  return { users, small }
}

async function playOutage(both: Both, users: SignedIn[], small: SignedIn[], outage: Outage) {
  if (!outage.title.includes(values.only)) return
  console.log(`\n${outage.title}`)
  const tokens = () => (small[nextSmall++] as SignedIn).token
  const [counted, stranger, later] = [tokens(), tokens(), tokens()]
  const quietFrom = both.map(({ service }) => service.log.length)
  const load = startMixedLoad(both, users)
  await sleep(1_000)
  // In turn, so that both know of nearly all.
  for (let time = 0; time < USED_BEFORE / 2; time++) for (const one of both) await askOnce(one, counted)
  await sleep(BEFORE_MS)

  const lost = both.map((one, index) => linesSince(one, quietFrom[index] ?? 0, AWAY))
  if (lost.some(Boolean))
    console.log(`BUSY    Redis was too slow without an outage (A ${lost[0]}, B ${lost[1]} times)`)
  const linesBefore = both.map(({ service }) => service.log.length)
  const goneAt = performance.now()
  await outage.begin()
  await until('both have noticed', () => haveTold(both, linesBefore, AWAY) || undefined, { limitMs: 5_000 })
  const noticedAt = performance.now()
  if (outage.end !== undefined) {
    await sleep(300)
    await playAlone(both, counted, stranger)
    await sleep(Math.max(goneAt + awayMs - performance.now(), 0))
  }
  const endedAt = performance.now()
  await outage.end?.()
  const isBack = await until('Redis is back', () => haveTold(both, linesBefore, BACK) || undefined, {
    limitMs: RETURN_LIMIT_MS,
  }).catch(() => false)
  expect(isBack, `both processes share again within ${RETURN_LIMIT_MS / 1000} s`)
  const backAt = performance.now()
  await sleep(500)
  await playShared(both, counted, later)
  await sleep(AFTERWARDS_MS)
  const answers = await load.stop()
  console.log(`noticed after ${ms(noticedAt - goneAt)}, back ${ms(backAt - endedAt)} after its end`)
  report(answers, goneAt, backAt)
  judgeLog(both, linesBefore)
}

/** While it is away: who was counted goes on being counted, and who was not has the limit of each process. */
async function playAlone(both: Both, counted: string, stranger: string) {
  for (const [index, one] of both.entries()) {
    const name = 'AB'[index]
    const rest = await askUntilRefused(one, counted)
    // The last of those before may have been counted by the other process.
    expect(
      rest >= SMALL - USED_BEFORE && rest <= SMALL - USED_BEFORE + 1,
      `${name} lets whoever had ${USED_BEFORE} of ${SMALL} do ${rest} more`,
    )
    const fresh = await askUntilRefused(one, stranger)
    expect(fresh === SMALL, `${name} lets whoever was new do ${fresh} of ${SMALL}`)
  }
}

/** When it is back: one limit for both again, from which an outage has given nobody anything. */
async function playShared(both: Both, counted: string, later: string) {
  const results: string[] = []
  const each = ({ result }: Answer) => void results.push(result)
  const shots = both.map(({ port }) =>
    hammer({ port, path: ME, token: later, requests: SMALL, connections: 4, each }),
  )
  await Promise.all(shots)
  const letIn = results.filter(result => result === '200').length
  expect(letIn === SMALL, `both together let somebody new do ${letIn} of ${SMALL}`)
  let more = 0
  for (const one of both) more += await askUntilRefused(one, counted)
  console.log(`        and who was counted before does ${more} more`)
}

async function askOnce({ port }: WebProcess, token: string): Promise<Answer> {
  const connection = openConnection(port)
  const answer = await connection.ask({ path: ME, token })
  connection.close()
  return answer
}

/** How many were let in. What is refused is refused once more. */
async function askUntilRefused({ port }: WebProcess, token: string): Promise<number> {
  const connection = openConnection(port)
  const ask = () => connection.ask({ path: ME, token })
  let letIn = 0
  while (letIn <= SMALL) {
    const answer = await ask()
    if (answer.result === '429') break
    limitsTold(answer)
    letIn++
  }
  expect((await ask()).result === '429', 'who was refused is refused again')
  connection.close()
  return letIn
}

/** Reads and creates by several users on both processes, a few hundred a second. */
function startMixedLoad(both: Both, users: SignedIn[]) {
  const answers: Answer[] = []
  let running = true
  const loops = both.flatMap(one => Array.from({ length: CONNECTIONS }, (_, index) => loop(one, index)))

  async function loop({ port }: WebProcess, index: number) {
    const connection = openConnection(port)
    const { token } = users[index % users.length] as SignedIn
    const requests = [
      { path: ME, token },
      { path: '/api/v1/items?limit=5', token },
      { path: ME, token },
      { method: 'POST', path: '/api/v1/items', token, body: { title: 'While Redis is away', price: '1.00' } },
    ].map(requestText)
    for (let turn = index; running; turn++) {
      answers.push(await connection.send(requests[turn % CREATES] ?? ''))
      await sleep(PAUSE_MS)
    }
    connection.close()
  }

  return {
    async stop() {
      running = false
      await Promise.all(loops)
      return answers
    },
  }
}

function report(answers: Answer[], goneAt: number, backAt: number) {
  const before = answers.filter(({ endedAt }) => endedAt < goneAt)
  const during = answers.filter(({ sentAt, endedAt }) => endedAt >= goneAt && sentAt < backAt)
  const after = answers.filter(({ sentAt }) => sentAt >= backAt)
  for (const [when, some] of Object.entries({ before, during, after })) {
    const took = some.map(timeOf)
    const [p50, p99, most] = [0.5, 0.99, 1].map(share => ms(quantile(took, share)))
    const slow = took.filter(time => time >= PATIENCE_MS).length
    const counts = describeCounts(countBy(some, ({ result }) => result))
    console.log(
      `${when.padEnd(7)} ${counts}; p50 ${p50}, p99 ${p99}, longest ${most}; ${slow} of ${PATIENCE_MS} ms or more`,
    )
  }
  const slow = (some: Answer[]) => some.filter(answer => timeOf(answer) >= PATIENCE_MS).length
  const usual = Math.max(...[before, after].map(some => slow(some) / some.length))
  expect(
    answers.every(({ result }) => result.startsWith('2')),
    'every request is answered with 2xx',
  )
  expect(
    slow(during) <= 2 * CONNECTIONS + 2 * usual * during.length,
    'only those wait for Redis that were asking it when it went, and as many as wait without that',
  )
  const longest = (some: Answer[]) => Math.max(...some.map(timeOf))
  const slack = Math.max(SLACK_MS, longest(before), longest(after))
  expect(longest(during) <= PATIENCE_MS + slack, `and not much longer than ${PATIENCE_MS} ms`)
}

function timeOf({ sentAt, endedAt }: Answer): number {
  return endedAt - sentAt
}

function ms(time: number): string {
  return `${time.toFixed(1)} ms`
}

function linesSince({ service }: WebProcess, start: number, message: string): number {
  return service.log.slice(start).filter(({ msg }) => msg.startsWith(message)).length
}

function haveTold(both: Both, starts: number[], message: string): boolean {
  return both.every((one, index) => linesSince(one, starts[index] ?? 0, message) > 0)
}

function judgeLog(both: Both, starts: number[]) {
  for (const [index, one] of both.entries()) {
    const [away, back] = [AWAY, BACK].map(message => linesSince(one, starts[index] ?? 0, message))
    const name = 'AB'[index]
    expect(
      away === 1 && back === 1,
      `${name} says once that Redis is away (${away}), and once that it is back (${back})`,
    )
  }
}
