import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import {
  emailOf,
  fillAccounts,
  PASSWORD,
  type SignedIn,
  signIn,
  startWebProcess,
  type WebProcess,
} from './lib/accounts.ts'
import { type Answer, type Asked, type Connection, openConnection } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'
import { LISTENER, type ListenerProxy, startListenerProxy } from './lib/listener-proxy.ts'
import { countBy, describeCounts, quantile } from './lib/stats.ts'

/** After the answer to what revokes, no process may take the old token for longer. */
const LIMIT_MS = 250

/** So long a round goes on after that answer, asking now and then whether what was refused stays refused. */
const WATCH_MS = 300
const POLL_MS = 1
const WATCH_EVERY_MS = 15

/** So that B knows the token. */
const WARM_UP_REQUESTS = 3

const HOT_REQUESTS = 2_000

/** Of `HOT_REQUESTS`: a few of the first, and the notes of when a session was last used. */
const MOST_LOOK_UPS = 20

/** Postgres counts what an idle connection did ten seconds later. */
const STATISTICS_MS = 11_500

/** Longer than a process takes to listen again after it was cut, or after a connection was silent for too long. */
const RECOVERY_MS = 1_500

/** Longer than two beats of a connection that was silent for a moment only. */
const CURRENT_AGAIN_MS = 200
const TERMINATE_EVERY_MS = 4

/** Between two kills it may be current for a moment, in which it may use what it knows. */
const LEAST_LOOK_UPS = 0.9

/** Those who ask on the hot path and while B cannot hear, and the administrator. */
const OTHER_ACCOUNTS = 5

const ME = '/api/v1/users/me'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '300' }, disturbed: { type: 'string', default: '60' } },
})
const rounds = Number(values.rounds)
/** In each of the three ways in which B cannot hear. */
const disturbed = Number(values.disturbed)
endAfter(300 + 2 * (rounds + 3 * disturbed))

/** What somebody does, and what it does to those who hold an older token. */
interface Kind {
  name: string
  role: 'user' | 'admin'
  /** What the old token is good for until then. */
  path: (round: Round) => string
  refusal: '401' | '403'
  /** By the user in question, in another session where it says so, or by an administrator. */
  by: 'self' | 'other session' | 'administrator'
  request: (round: Round) => Asked
}

interface Round {
  user: SignedIn
  admin: SignedIn
}

const kinds: Kind[] = [
  kind('logout', 'self', () => ({ method: 'POST', path: '/api/v1/auth/logout' })),
  kind('session revoked', 'other session', ({ user }) => ({
    method: 'DELETE',
    path: `/api/v1/auth/sessions/${user.session_id}`,
  })),
  kind('password changed', 'other session', () => ({
    method: 'PUT',
    path: `${ME}/password`,
    body: { current_password: PASSWORD, new_password: `${PASSWORD}, but another` },
  })),
  kind('deactivated', 'administrator', ({ user }) => ({
    method: 'PATCH',
    path: `/api/v1/users/${user.user_id}`,
    body: { is_active: false },
  })),
  {
    // What is refused then is not the token but what only administrators may.
    ...kind('demoted', 'administrator', ({ user }) => ({
      method: 'PATCH',
      path: `/api/v1/users/${user.user_id}`,
      body: { role: 'user' },
    })),
    role: 'admin',
    path: ({ admin }) => `/api/v1/users/${admin.user_id}`,
    refusal: '403',
  },
  {
    ...kind('deleted', 'administrator', ({ user }) => ({
      method: 'DELETE',
      path: `/api/v1/users/${user.user_id}`,
    })),
    // There is no account to read any more, but who is let in would still be told of no sessions.
    path: () => '/api/v1/auth/sessions',
  },
]

function kind(name: string, by: Kind['by'], request: Kind['request']): Kind {
  return { name, role: 'user', path: () => ME, refusal: '401', by, request }
}

interface Outcome {
  kind: string
  /** Milliseconds from the answer to what revokes until the first refusal; 0 when that came before. */
  delay: number
  /** Milliseconds from that answer until the last request was sent that was still let in. */
  lastLetIn: number
  /** What was sent after the limit and was not refused, or was let in again after a refusal. */
  tooLate: number
  /** Neither let in nor refused as it should be. */
  strange: string[]
  asked: number
}

let nextAccount = 0

await withDatabase(async url => {
  const client = postgres(url, { max: 2, onnotice: () => {} })
  const proxy = await startListenerProxy(url)
  const a = await startWebProcess(url)
  const b = await startWebProcess(proxy.url)
  const count = rounds + 3 * disturbed + OTHER_ACCOUNTS
  await fillAccounts(url, [
    { kind: 'user', count },
    { kind: 'admin', count, role: 'admin' },
  ])
  const [toA, toB] = [openConnection(a.port), openConnection(b.port)]
  const admin = await signIn(toA, emailOf('admin', count - 1))
  const play = (times: number, before?: () => void, after?: () => Promise<void>) =>
    playRounds({ toA, toB, admin }, times, before, after)

  await measureHotPath(client, { toA, toB })
  report('both listen', await play(rounds))
  await playCut(client, proxy, toB, play)
  report('B frozen just before what revokes', await play(disturbed, proxy.freeze, () => letListen(proxy)))
  await playFrozen(client, proxy, toB, play)

  toA.close()
  toB.close()
  await client.end()
  expect(await endsWell(a), 'A ends with 0')
  expect(await endsWell(b), 'B ends with 0')
  proxy.close()
})

type Client = ReturnType<typeof postgres>
type Play = (count: number) => Promise<Outcome[]>

/** And waits until what is known may be used again. */
async function letListen(proxy: ListenerProxy) {
  proxy.thaw()
  await sleep(CURRENT_AGAIN_MS)
}

async function endsWell({ service }: WebProcess): Promise<boolean> {
  return (await service.stop()) === 0
}

async function measureHotPath(client: Client, connections: Record<string, Connection>) {
  console.log(`${HOT_REQUESTS} requests with one token, GET ${ME}`)
  for (const [name, connection] of Object.entries(connections)) {
    const { token } = await signIn(connection, nextEmail('user'))
    const lookUps = await countLookUps(client, () => askOften(connection, token, HOT_REQUESTS))
    console.log(
      `${name}  look-ups of sessions ${lookUps}, ${(lookUps / HOT_REQUESTS).toFixed(4)} per request`,
    )
    expect(lookUps <= MOST_LOOK_UPS, `at most ${MOST_LOOK_UPS} look-ups`)
  }
}

async function askOften(connection: Connection, token: string, times: number) {
  for (let time = 0; time < times; time++) {
    const { result } = await connection.ask({ path: ME, token })
    if (result !== '200') throw new Error(`GET ${ME} was answered with ${result}.`)
  }
}

/** How often the table of sessions was looked into, in whatever way, while `work` ran. */
async function countLookUps(client: Client, work: () => Promise<void>): Promise<number> {
  const before = await scansOfSessions(client)
  await work()
  return (await scansOfSessions(client)) - before
}

async function scansOfSessions(client: Client): Promise<number> {
  await sleep(STATISTICS_MS)
  const [row] = await client`
    select (seq_scan + coalesce(idx_scan, 0))::int as scans from pg_stat_user_tables where relname = 'sessions'`
  return row?.scans
}

interface Players {
  toA: Connection
  toB: Connection
  admin: SignedIn
}

async function playRounds(
  players: Players,
  count: number,
  before?: () => void,
  after?: () => Promise<void>,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (let number = 0; number < count; number++) {
    const kind = kinds[number % kinds.length] as Kind
    outcomes.push(await playRound(players, kind, before))
    await after?.()
  }
  return outcomes
}

/** Signs in, makes the token known to B, revokes on A and asks B all the while. */
async function playRound({ toA, toB, admin }: Players, kind: Kind, before?: () => void): Promise<Outcome> {
  const email = nextEmail(kind.role)
  const user = await signIn(toA, email)
  const revoker = { self: user, administrator: admin, 'other session': undefined }[kind.by]
  const { token } = revoker ?? (await signIn(toA, email))
  const asked = { path: kind.path({ user, admin }), token: user.token }
  for (let time = 0; time < WARM_UP_REQUESTS; time++) {
    const { result } = await toB.ask(asked)
    if (result !== '200') throw new Error(`${kind.name}: B answers ${result} before anything is revoked.`)
  }
  before?.()
  const revoking = toA.ask({ ...kind.request({ user, admin }), token })
  const answers = await askUntilRefused(toB, asked, kind.refusal, revoking)
  const { result, body, endedAt } = await revoking
  if (!/^20[04]$/.test(result)) throw new Error(`${kind.name} was answered with ${result}: ${body}`)
  return judge(kind, answers, endedAt)
}

function nextEmail(role: Kind['role']): string {
  return emailOf(role, nextAccount++)
}

/** Every millisecond until the first refusal, then now and then until nothing may be let in any more. */
async function askUntilRefused(toB: Connection, asked: Asked, refusal: string, revoking: Promise<Answer>) {
  const answers: Answer[] = []
  let revoked = Number.POSITIVE_INFINITY
  revoking.then(({ endedAt }) => {
    revoked = endedAt
  })
  while (performance.now() < revoked + WATCH_MS) {
    const answer = await toB.ask(asked)
    answers.push(answer)
    const pause = answer.result === refusal ? WATCH_EVERY_MS : POLL_MS
    await sleep(Math.max(answer.sentAt + pause - performance.now(), 0))
  }
  return answers
}

function judge({ name, refusal }: Kind, answers: Answer[], revoked: number): Outcome {
  const first = answers.findIndex(({ result }) => result === refusal)
  const refusedAt = answers[first]?.endedAt ?? Number.POSITIVE_INFINITY
  const letIn = answers.filter(({ result }) => result === '200')
  const tooLate = answers.filter(
    ({ result, sentAt }, index) =>
      result === '200' && (sentAt > revoked + LIMIT_MS || (first >= 0 && index > first)),
  )
  return {
    kind: name,
    delay: Math.max(refusedAt - revoked, 0),
    lastLetIn: Math.max((letIn.at(-1)?.sentAt ?? 0) - revoked, 0),
    tooLate: tooLate.length,
    strange: answers.map(({ result }) => result).filter(result => result !== '200' && result !== refusal),
    asked: answers.length,
  }
}

/** Its listening connections are ended by the server as soon as they are seen. */
async function playCut(client: Client, proxy: ListenerProxy, toB: Connection, play: Play) {
  let running = true
  let kills = 0
  const killing = killListeners()
  await sleep(RECOVERY_MS)
  report('B cut off again and again', await play(disturbed))
  await reportLookUps(client, toB)
  console.log(`connections ended by pg_terminate_backend: ${kills}`)
  running = false
  await killing
  await sleep(RECOVERY_MS)

  async function killListeners() {
    while (running) {
      const killed = await client`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = ${LISTENER} and client_port = any(${proxy.listenerPorts()}::int[])`
      kills += killed.length
      await sleep(TERMINATE_EVERY_MS)
    }
  }
}

/** Frozen all the time, also when B makes new connections because the old ones are silent. */
async function playFrozen(client: Client, proxy: ListenerProxy, toB: Connection, play: Play) {
  proxy.freeze()
  await sleep(RECOVERY_MS)
  report('B frozen all the time', await play(disturbed))
  await reportLookUps(client, toB)
  proxy.thaw()
  await sleep(RECOVERY_MS)
}

async function reportLookUps(client: Client, toB: Connection) {
  const { token } = await signIn(toB, nextEmail('user'))
  const lookUps = await countLookUps(client, () => askOften(toB, token, HOT_REQUESTS))
  console.log(`${lookUps} look-ups for ${HOT_REQUESTS} requests meanwhile`)
  expect(lookUps >= LEAST_LOOK_UPS * HOT_REQUESTS, 'B looks up instead of using what it knows')
}

function report(title: string, outcomes: Outcome[]) {
  console.log(`\n${title}: ms from the answer of A`)
  console.log(row(['', 'rounds', 'first refusal p50', 'p99', 'max', 'last let in max', 'too late', 'asked']))
  for (const { name } of kinds) {
    const some = outcomes.filter(({ kind }) => kind === name)
    if (some.length > 0) console.log(row([name, ...figures(some)]))
  }
  console.log(row(['all', ...figures(outcomes)]))
  const strange = outcomes.flatMap(outcome => outcome.strange)
  if (strange.length > 0) console.log(`also: ${describeCounts(countBy(strange, result => result))}`)
  expect(Math.max(...outcomes.map(({ delay }) => delay)) < LIMIT_MS, `refused within ${LIMIT_MS} ms`)
  expect(
    outcomes.every(({ tooLate }) => tooLate === 0),
    `nothing sent ${LIMIT_MS} ms after the answer of A, or after a refusal, was let in`,
  )
  expect(strange.length === 0, 'B answers with nothing but 200 and the refusal')
}

function figures(outcomes: Outcome[]): string[] {
  const delays = outcomes.map(({ delay }) => delay)
  const total = (field: 'tooLate' | 'asked') =>
    String(outcomes.reduce((sum, outcome) => sum + outcome[field], 0))
  return [
    String(outcomes.length),
    ...[0.5, 0.99, 1].map(share => quantile(delays, share).toFixed(1)),
    Math.max(...outcomes.map(({ lastLetIn }) => lastLetIn)).toFixed(1),
    total('tooLate'),
    total('asked'),
  ]
}

function row([name = '', ...cells]: string[]): string {
  const widths = [7, 19, 8, 8, 17, 10, 9]
  return name.padEnd(17) + cells.map((cell, index) => cell.padStart(widths[index] ?? 8)).join('')
}
