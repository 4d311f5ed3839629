import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  emailOf,
  fillAccounts,
  type SignedIn,
  signIn,
  startWebProcess,
  type WebProcess,
} from './lib/accounts.ts'
import { type Answer, type Connection, openConnection } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { hammer } from './lib/hammer.ts'
import { limitsTold, type Told } from './lib/limit-fields.ts'
import { endAfter, expect } from './lib/limits.ts'
import { compareServers } from './lib/measured-server.ts'
import { ownRedis, untilShared } from './lib/own-redis.ts'
import { countBy, describeCounts, quantile } from './lib/stats.ts'

// Two processes that share limits through Redis refuse exactly what is too much, whichever of them is asked.

const ME = '/api/v1/users/me'

const STANDARD = 1_000
const PREMIUM = 15_000
const ANONYMOUS = 100
const PER_HOUR = 600
const PER_SECOND = 100

const CONNECTIONS = 32
const SIGNED_IN_REQUESTS = 4_000
const ANONYMOUS_REQUESTS = 600

/** Who is refused asks again a moment later, so that seconds pass before the quota of the hour is used up. */
const PAUSE_MS = 5
const SEVERAL_SECONDS = 9

/** A tier is part of whom a token stands for, which all processes know within this time (see revocation.ts). */
const TIER_LIMIT_MS = 250

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    tiers: { type: 'string', default: '50' },
    costs: { type: 'string', default: '9' },
  },
})
const rounds = Number(values.rounds)
const tierRounds = Number(values.tiers)
const costRounds = Number(values.costs)
endAfter(240 + rounds * 20)

await withDatabase(async url => {
  const redis = await ownRedis()
  await redis.start()
  const door = await startWebProcess(url)
  await fillAccounts(url, [
    { kind: 'user', count: rounds + 2 },
    { kind: 'admin', count: 1, role: 'admin' },
  ])
  const connection = openConnection(door.port)
  const users: SignedIn[] = []
  for (let number = 0; number < rounds + 2; number++) {
    users.push(await signIn(connection, emailOf('user', number)))
  }
  const admin = await signIn(connection, emailOf('admin', 0))
  connection.close()
  await door.service.stop()
  const [ofTiers, ofSeveral, ...ofRounds] = users as [SignedIn, SignedIn, ...SignedIn[]]

  const limits = { RATELIMIT_DEFAULT: `${ANONYMOUS}/hour`, RATELIMIT_STANDARD: `${STANDARD}/hour` }
  await withTwo(url, redis.url, limits, async both => {
    for (const [round, user] of ofRounds.entries()) await playRound(both, round, user)
    await playTiers(both, ofTiers, admin)
  })
  const several = { RATELIMIT_STANDARD: `${PER_HOUR}/hour; ${PER_SECOND}/second` }
  await withTwo(url, redis.url, several, both => playSeveral(both, ofSeveral))
  if (costRounds > 0) await compareCosts(url, redis.url, admin)
  await redis.kill()
})

type Both = [WebProcess, WebProcess]

async function withTwo(
  url: string,
  redisUrl: string,
  limits: Record<string, string>,
  work: (both: Both) => Promise<void>,
) {
  const environment = { RATELIMIT_ENABLED: 'true', REDIS_URL: redisUrl, ...limits }
  const both: Both = [await startWebProcess(url, environment), await startWebProcess(url, environment)]
  // Until then each of them counts alone.
  for (const { port } of both) await untilShared(port)
  await work(both)
  for (const { service } of both) expect((await service.stop()) === 0, 'a process ends with 0')
}

/** What came back, with what it said of the limits; of each connection in the order of its requests. */
interface Heard {
  answer: Answer
  told: Told[]
}

async function fire(both: Both, asked: { token?: string; from?: string; requests: number }) {
  const heard = new Map<Connection, Heard[]>()
  const shots = both.map(({ port }) =>
    hammer({
      ...asked,
      requests: asked.requests / 2,
      port,
      path: ME,
      connections: CONNECTIONS / 2,
      each: (answer, connection) => note(heard, connection, answer),
    }),
  )
  await Promise.all(shots)
  return [...heard.values()]
}

function note(heard: Map<Connection, Heard[]>, connection: Connection, answer: Answer) {
  const list = heard.get(connection) ?? []
  if (list.length === 0) heard.set(connection, list)
  list.push({ answer, told: limitsTold(answer) })
}

async function playRound(both: Both, round: number, { token }: SignedIn) {
  const begun = performance.now()
  const [signedIn, anonymous] = await Promise.all([
    fire(both, { token, requests: SIGNED_IN_REQUESTS }),
    fire(both, { from: `127.0.1.${round + 1}`, requests: ANONYMOUS_REQUESTS }),
  ])
  const seconds = ((performance.now() - begun) / 1000).toFixed(1)
  console.log(`\nround ${round + 1}: two processes, ${2 * CONNECTIONS} connections, ${seconds} s`)
  judge('a user', signedIn, STANDARD, '200')
  judge('an address', anonymous, ANONYMOUS, '401')
}

function judge(who: string, heard: Heard[][], quota: number, result: string) {
  const all = heard.flat().map(({ answer }) => answer)
  const took = all.map(({ sentAt, endedAt }) => endedAt - sentAt)
  const [p50, p99, most] = [0.5, 0.99, 1].map(share => quantile(took, share).toFixed(1))
  const counts = describeCounts(countBy(all, answer => answer.result))
  console.log(`${who.padEnd(11)} ${counts}; p50 ${p50} ms, p99 ${p99} ms, longest ${most} ms`)
  const letIn = all.filter(answer => answer.result === result).length
  expect(letIn === quota, `exactly ${quota} are not refused`)
  expectRefusals(all, result)
  expect(heard.every(neverRises), 'on no connection, what is left, or the time until it is back, ever rises')
}

function expectRefusals(all: Answer[], otherwise: string) {
  const others = all.filter(({ result }) => result !== otherwise)
  expect(
    others.every(({ result, retryAfter }) => result === '429' && Number(retryAfter) >= 1),
    'all others are 429 with Retry-After',
  )
}

/** Of the first policy, which is that of the hour. */
function neverRises(heard: Heard[]): boolean {
  return risesOf(heard, 0, 'left') + risesOf(heard, 0, 'resets') === 0
}

/** How often the policy in this place told more than the time before. */
function risesOf(heard: Heard[], place: number, field: 'left' | 'resets'): number {
  return heard.filter(({ told }, index) => {
    const before = heard[index - 1]?.told[place]
    return before !== undefined && (told[place]?.[field] ?? 0) > before[field]
  }).length
}

/** Two policies at once: in each window of a second, and in the hour, no more than that. */
async function playSeveral(both: Both, { token }: SignedIn) {
  const heard = new Map<Connection, Heard[]>()
  const begun = performance.now()
  const shots = both.map(({ port }) =>
    hammer({
      port,
      path: ME,
      token,
      connections: CONNECTIONS / 2,
      until: begun + SEVERAL_SECONDS * 1000,
      each: async (answer, connection) => {
        note(heard, connection, answer)
        if (answer.result === '429') await sleep(PAUSE_MS)
      },
    }),
  )
  await Promise.all(shots)
  const all = [...heard.values()].flat()
  const letIn = all.filter(({ answer }) => answer.result === '200')
  console.log(`\n${PER_HOUR}/hour; ${PER_SECOND}/second: ${SEVERAL_SECONDS} s`)
  console.log(describeCounts(countBy(all, ({ answer }) => answer.result)))

  const names = all[0]?.told.map(({ name }) => name).join(', ')
  expect(names === 'standard-per-hour, standard-per-second', 'both policies are told')
  expect(
    letIn.length === PER_HOUR,
    `exactly ${PER_HOUR} are let in: neither refuses what only the other counts`,
  )
  // The first request of each window leaves one less than the quota, and whatever is left is told once in each.
  const leftInSecond = countBy(letIn, ({ told }) => String(told[1]?.left))
  const windows = leftInSecond.get(String(PER_SECOND - 1)) ?? 0
  const lasted = (last(letIn) - begun) / 1000
  console.log(`${windows} windows of a second in ${lasted.toFixed(2)} s`)
  expect(windows <= Math.floor(lasted) + 1, 'no window is shorter than a second')
  expect(
    [...leftInSecond.values()].every(times => times <= windows),
    `no window lets in more than ${PER_SECOND}`,
  )
  expect(
    [...heard.values()].every(neverRises),
    'what is left of the hour, or the time until it is back, never rises',
  )
  expect(
    [...heard.values()].every(list => risesOf(list, 1, 'left') <= SEVERAL_SECONDS),
    'what is left of a second rises only with a new one',
  )
  expectRefusals(
    all.map(({ answer }) => answer),
    '200',
  )
}

function last(heard: Heard[]): number {
  return Math.max(...heard.map(({ answer }) => answer.endedAt))
}

/** An administrator changes the tier on A; B is asked from the moment of the answer on. */
async function playTiers([a, b]: Both, user: SignedIn, admin: SignedIn) {
  const [toA, toB] = [openConnection(a.port), openConnection(b.port)]
  const ask = async () => {
    const answer = await toB.ask({ path: ME, token: user.token })
    if (answer.result !== '200') throw new Error(`GET ${ME} was answered with ${answer.result}.`)
    const [told] = limitsTold(answer) as [Told]
    return { ...told, endedAt: answer.endedAt }
  }
  const delays: number[] = []
  let atOnce = 0
  let goesOn = true
  for (let round = 0; round < tierRounds; round++) {
    const before = await ask()
    const tier = before.name === 'standard' ? 'premium' : 'standard'
    const path = `/api/v1/users/${user.user_id}`
    const { result, body, endedAt } = await toA.ask({
      method: 'PATCH',
      path,
      token: admin.token,
      body: { tier },
    })
    if (result !== '200') throw new Error(`PATCH was answered with ${result}: ${body}`)
    let asked = 1
    let now = await ask()
    for (; now.name !== tier; asked++) now = await ask()
    if (asked === 1) atOnce++
    delays.push(now.endedAt - endedAt)
    const quota = tier === 'standard' ? STANDARD : PREMIUM
    goesOn &&= now.quota === quota && quota - now.left === before.quota - before.left + asked
  }
  toA.close()
  toB.close()
  const [p50, p99, most] = [0.5, 0.99, 1].map(share => quantile(delays, share).toFixed(1))
  console.log(
    `\n${tierRounds} changes of tier on A; from the answer to the first answer of B with the new policy`,
  )
  console.log(`p50 ${p50} ms, p99 ${p99} ms, longest ${most} ms; the very next request has it in ${atOnce}`)
  expect(Math.max(...delays) < TIER_LIMIT_MS, `within ${TIER_LIMIT_MS} ms`)
  expect(goesOn, 'what was used of the one quota is used of the other')
}

/** The same route of the whole service, which needs no database, in processes of their own. */
async function compareCosts(url: string, redisUrl: string, { token }: SignedIn) {
  const plenty = { RATELIMIT_ENABLED: 'true', RATELIMIT_STANDARD: '999999999/hour; 999999999/second' }
  console.log('\nCPU of the service for a signed-in request that does nothing')
  await compareServers(
    [
      { title: 'without limits', kind: 'plinth', environment: { RATELIMIT_ENABLED: 'false' } },
      {
        title: 'one, in memory',
        kind: 'plinth',
        environment: { ...plenty, RATELIMIT_STANDARD: '999999999/hour' },
      },
      { title: 'two, in memory', kind: 'plinth', environment: plenty },
      {
        title: 'one, in Redis',
        kind: 'plinth',
        environment: { ...plenty, RATELIMIT_STANDARD: '999999999/hour', REDIS_URL: redisUrl },
      },
      { title: 'two, in Redis', kind: 'plinth', environment: { ...plenty, REDIS_URL: redisUrl } },
    ],
    { url, rounds: costRounds, path: '/api/v1/bench-trivial', token },
  )
}
