import { Type } from '@sinclair/typebox'
import { eq } from 'drizzle-orm'
import { parseList } from 'structured-headers'
import { type Test, test } from 'tap'
import { newApiKey, shownPart } from '../../src/accounts/api-key-format.ts'
import { apiKeys, sessions } from '../../src/accounts/tables.ts'
import type { App } from '../../src/app.ts'
import { newId } from '../../src/lib/id.ts'
import { sha256 } from '../../src/lib/opaque.ts'
import { aUser, build, probe, signedIn } from '../helper.ts'
import { ownRedis, withoutRedis } from '../redis-server.ts'

const Named = Type.Object({ name: Type.Optional(Type.String()) }, { additionalProperties: false })

type Injected = Awaited<ReturnType<App['inject']>>

const open = (t: Test, variables: Record<string, string>, options: Parameters<typeof build>[1] = {}) =>
  build(t, {
    ...options,
    variables: { RATELIMIT_ENABLED: 'true', ...variables },
    routes: async app => {
      app.get('/open', probe('getOpen'), async () => ({}))
      app.get(
        '/closed',
        { ...probe('getClosed'), config: { access: { scope: 'items:read' } } },
        async () => ({}),
      )
      app.get(
        '/costly',
        {
          ...probe('getCostly'),
          config: { access: 'public', limits: ['tier', { name: 'costly', rates: '1/minute', by: 'caller' }] },
        },
        async () => ({}),
      )
      app.post(
        '/named',
        {
          ...probe('postNamed', { body: Named }),
          config: {
            access: 'public',
            limits: [
              { name: 'place', rates: '5/minute', by: 'address' },
              { name: 'name', rates: '2/minute', byBody: ({ body }) => Object(body).name },
            ],
          },
        },
        async () => ({}),
      )
    },
  })

/** A structured field as an object of its items. */
const fieldOf = ({ headers }: Injected, name: string) =>
  Object.fromEntries(
    parseList(String(headers[name])).map(([item, parameters]) => [item, Object.fromEntries(parameters)]),
  )
const policiesIn = (response: Injected) => fieldOf(response, 'ratelimit-policy')
const limitIn = (response: Injected) => fieldOf(response, 'ratelimit')
const statuses = (responses: Injected[]) => responses.map(({ statusCode }) => statusCode)
const times = async (count: number, ask: () => Promise<Injected>) => {
  const answers: Injected[] = []
  while (answers.length < count) answers.push(await ask())
  return answers
}

test('whoever has used up the quota is told when to come back', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '2/minute' })
  const first = await app.inject('/open')
  t.strictSame(policiesIn(first), { anonymous: { q: 2, w: 60 } })
  t.strictSame(limitIn(first), { anonymous: { r: 1, t: 60 } })
  await app.inject('/open')
  const refused = await app.inject({ url: '/open', headers: { origin: 'http://localhost:5173' } })
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), {
    type: '/problems/rate_limited',
    status: 429,
    code: 'rate_limited',
    detail: 'The limit anonymous, 2 in 60 seconds, is used up.',
    instance: '/open',
  })
  const { r, t: left } = limitIn(refused).anonymous as { r: number; t: number }
  t.equal(r, 0)
  t.equal(Number(refused.headers['retry-after']), left)
  t.ok(left > 0 && left <= 60)
  t.match(refused.headers['access-control-expose-headers'], /RateLimit, RateLimit-Policy, Retry-After/)
})

test('several limits hold at once, and a refusal counts for none', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '3/hour; 2/minute' })
  const answers = await times(4, () => app.inject('/open'))
  t.strictSame(statuses(answers), [200, 200, 429, 429])
  t.strictSame(policiesIn(answers[0] as Injected), {
    'anonymous-per-hour': { q: 3, w: 3600 },
    'anonymous-per-minute': { q: 2, w: 60 },
  })
  t.match(limitIn(answers[3] as Injected), {
    'anonymous-per-hour': { r: 1 },
    'anonymous-per-minute': { r: 0 },
  })
  t.ok(Number((answers[3] as Injected).headers['retry-after']) <= 60, 'of those used up, not of all')
})

test('a route may have a limit of its own besides', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '3/minute' })
  const [first, second] = await times(2, () => app.inject('/costly'))
  t.strictSame(policiesIn(first as Injected), { anonymous: { q: 3, w: 60 }, costly: { q: 1, w: 60 } })
  t.match(second?.json().detail, 'The limit costly, 1 in 60 seconds, is used up.')
  t.match(limitIn(second as Injected), { anonymous: { r: 2 }, costly: { r: 0 } })
  t.equal((await app.inject('/open')).statusCode, 200)
})

test('a route may count by what is in its body, in place of the tier', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '1/minute' })
  const send = (payload: object) => app.inject({ method: 'POST', url: '/named', payload })
  const [first, , third] = await times(3, () => send({ name: 'ada' }))
  t.strictSame(policiesIn(first as Injected), { place: { q: 5, w: 60 }, name: { q: 2, w: 60 } })
  t.match(limitIn(first as Injected), { place: { r: 4 }, name: { r: 1 } })
  t.equal(third?.statusCode, 429)
  t.match(third?.json().detail, /^The limit name/)
  t.equal((await send({ name: 'grace' })).statusCode, 200)
  t.equal((await send({})).statusCode, 200, 'without a name, by address')
  t.match((await send({ name: 'alan' })).json().detail, /^The limit place/)
})

test('addresses are counted apart, IPv6 by its /64, and believed only through a trusted proxy', async t => {
  const trusting = await open(t, { RATELIMIT_DEFAULT: '1/minute', TRUST_PROXY: 'loopback' })
  const from = (app: App) => async (address: string) =>
    (await app.inject({ url: '/open', headers: { 'x-forwarded-for': address } })).statusCode
  const by = from(trusting)
  t.equal(await by('192.0.2.1'), 200)
  t.equal(await by('192.0.2.1'), 429)
  t.equal(await by('::ffff:192.0.2.1'), 429)
  t.equal(await by('192.0.2.2'), 200)
  t.equal(await by('2001:db8::1'), 200)
  t.equal(await by('2001:db8::ffff:0:0:2'), 429)
  t.equal(await by('2001:db8:0:1::1'), 200)
  t.equal(await by('203.0.113.9, 192.0.2.2'), 429, 'what a client adds in front is not believed')
  const wary = from(await open(t, { RATELIMIT_DEFAULT: '1/minute' }))
  t.equal(await wary('192.0.2.1'), 200)
  t.equal(await wary('192.0.2.2'), 429)
})

test('a user and each API key have a quota of the tier', async t => {
  const app = await open(t, { RATELIMIT_STANDARD: '2/hour', RATELIMIT_PREMIUM: '5/hour' })
  const { id, headers } = await aUser(app)
  const keys = [newApiKey(), newApiKey()]
  for (const key of keys) {
    const shown = { user_id: id, name: 'x', prefix: shownPart(key), scopes: ['items:read' as const] }
    await app.database.db.insert(apiKeys).values({ ...shown, key_hash: sha256(key) })
  }
  const ask = (given: Record<string, string>) =>
    times(3, () => app.inject({ url: '/closed', headers: given }))
  const own = await ask(headers)
  t.strictSame(statuses(own), [200, 200, 429])
  t.strictSame(policiesIn(own[0] as Injected), { standard: { q: 2, w: 3600 } })
  for (const key of keys) t.strictSame(statuses(await ask({ 'x-api-key': key })), [200, 200, 429])
  const rich = await aUser(app, 'user', { tier: 'premium' })
  const [first] = await ask(rich.headers)
  t.strictSame(policiesIn(first as Injected), { premium: { q: 5, w: 3600 } })
})

test('an admin’s change of tier holds on the next request, on another process too', async t => {
  const limits = { RATELIMIT_STANDARD: '2/hour', RATELIMIT_PREMIUM: '4/hour' }
  const [here, there] = [await open(t, limits), await open(t, limits)]
  const { id, headers } = await aUser(here)
  const admin = await signedIn(here)
  const ask = () => there.inject({ url: '/closed', headers })
  t.strictSame(statuses(await times(3, ask)), [200, 200, 429])
  for (const [tier, answer] of [
    ['premium', 200],
    ['standard', 429],
  ] as const) {
    const changed = await here.inject({
      method: 'PATCH',
      url: `/api/v1/users/${id}`,
      headers: admin,
      payload: { tier },
    })
    t.equal(changed.statusCode, 200)
    const next = await ask()
    t.equal(next.statusCode, answer, tier)
    t.ok(tier in policiesIn(next))
  }
})

test('who is refused is counted, so that nobody can go on guessing', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '2/minute' })
  const guess = () => app.inject({ url: '/closed', headers: { 'x-api-key': newApiKey() } })
  t.strictSame(statuses(await times(3, guess)), [401, 401, 429])
  t.equal((await app.inject('/closed')).statusCode, 429)
})

test('a token whose life is over is told so, whoever shares the address', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '1/minute', RATELIMIT_STANDARD: '3/minute' })
  const ended = await aUser(app)
  await app.database.db.delete(sessions).where(eq(sessions.id, ended.session_id))
  const answers = await times(4, () => app.inject({ url: '/closed', headers: ended.headers }))
  t.strictSame(statuses(answers), [401, 401, 401, 429])
  const brief = await open(t, {
    RATELIMIT_DEFAULT: '1/minute',
    RATELIMIT_STANDARD: '3/minute',
    JWT_ACCESS_TOKEN_EXPIRES: '1',
  })
  const token = brief.accessTokens.sign({ user_id: newId(), session_id: newId(), role: 'user' })
  while (brief.accessTokens.read(token) !== undefined) await new Promise(resolve => setImmediate(resolve))
  const expired = { authorization: `Bearer ${token}` }
  t.strictSame(
    statuses(await times(4, () => brief.inject({ url: '/closed', headers: expired }))),
    [401, 401, 401, 429],
  )
  const forged = { authorization: `Bearer ${token.slice(0, -3)}AAA` }
  t.strictSame(statuses(await times(2, () => brief.inject({ url: '/closed', headers: forged }))), [401, 429])
})

test('a token that is good no longer is worth nothing where nobody is refused for it', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '3/hour', RATELIMIT_STANDARD: '5/hour' })
  const answers: Injected[] = []
  for (let turn = 0; turn < 4; turn++) {
    const { headers, session_id } = await aUser(app)
    await app.database.db.delete(sessions).where(eq(sessions.id, session_id))
    answers.push(await app.inject({ url: '/api/v1/posts', headers }))
  }
  t.strictSame(statuses(answers), [200, 200, 200, 429])
})

test('asking for the quota is free, guessing credentials there is not', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '2/hour' })
  const guess = () => app.inject({ url: '/api/v1/rate-limit', headers: { 'x-api-key': newApiKey() } })
  t.strictSame(statuses(await times(3, guess)), [401, 401, 429])
  t.equal((await app.inject('/api/v1/rate-limit')).statusCode, 200)
})

test('operators and explorers are never limited', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '1/day' })
  await app.inject('/open')
  const free = [
    '/health',
    '/health/live',
    '/health/ready',
    '/docs',
    '/openapi.json',
    '/problems/rate_limited',
  ]
  for (const url of [...free, '/.well-known/jwks.json', '/api/v1/rate-limit']) {
    const answers = await times(3, () => app.inject(url))
    t.strictSame(statuses(answers), [200, 200, 200], url)
    t.notOk(
      answers.some(({ headers }) => 'ratelimit' in headers),
      url,
    )
  }
  const preflight = await app.inject({
    method: 'OPTIONS',
    url: '/open',
    headers: { origin: 'http://localhost:5173', 'access-control-request-method': 'GET' },
  })
  t.equal(preflight.statusCode, 204)
  t.equal((await app.inject('/nowhere')).statusCode, 404)
  t.equal((await app.inject('/open')).statusCode, 429)
})

test('where it is switched off, nobody is limited and nothing is said', async t => {
  const app = await open(t, { RATELIMIT_ENABLED: 'false', RATELIMIT_DEFAULT: '1/day' })
  const answers = await times(3, () => app.inject('/open'))
  t.strictSame(statuses(answers), [200, 200, 200])
  t.notOk('ratelimit-policy' in (answers[0] as Injected).headers)
  t.equal((await app.inject('/api/v1/rate-limit')).json().enabled, false)
})

test('a refusal is not what an idempotency key keeps', async t => {
  const app = await open(t, { RATELIMIT_STANDARD: '1/hour', RATELIMIT_PREMIUM: '2/hour' })
  const { id, headers } = await aUser(app)
  await app.inject({ url: '/closed', headers })
  const create = () =>
    app.inject({
      method: 'POST',
      url: '/api/v1/items',
      headers: { ...headers, 'idempotency-key': id },
      payload: { title: 'Lamp' },
    })
  t.equal((await create()).statusCode, 429)
  const payload = { tier: 'premium' }
  await app.inject({ method: 'PATCH', url: `/api/v1/users/${id}`, headers: await signedIn(app), payload })
  t.equal((await create()).statusCode, 201)
})

test('the metric tells who refuses', async t => {
  const app = await open(t, { RATELIMIT_DEFAULT: '1/minute' })
  await times(3, () => app.inject('/open'))
  const { values = [] } = (await app.metrics.getSingleMetric('plinth_rate_limited_total')?.get()) ?? {}
  t.match(values, [{ labels: { policy: 'anonymous' }, value: 2 }])
})

test('two processes share one limit exactly', { skip: withoutRedis }, async t => {
  const server = await ownRedis(t)
  const limits = { RATELIMIT_STANDARD: '100/hour', RATELIMIT_DEFAULT: '10/hour' }
  const apps = [
    await open(t, limits, { redis: server.connect() }),
    await open(t, limits, { redis: server.connect() }),
  ]
  await until(() => apps.every(app => app.sharedRedis?.isThere))
  const { headers } = await aUser(apps[0] as App)
  const ask = (given: Record<string, string>) =>
    Promise.all(
      Array.from({ length: 300 }, (_, turn) =>
        (apps[turn % 2] as App).inject({ url: '/closed', headers: given }),
      ),
    )
  t.equal(statuses(await ask(headers)).filter(status => status === 200).length, 100)
  t.equal(statuses(await ask({})).filter(status => status === 401).length, 10)
})

test('a Redis that is stopped under load costs no request', { skip: withoutRedis }, async t => {
  const server = await ownRedis(t)
  const app = await open(t, { RATELIMIT_STANDARD: '5/hour' }, { redis: server.connect() })
  await until(() => app.sharedRedis?.isThere)
  const spent = await aUser(app)
  const ask = (headers: Record<string, string>) => app.inject({ url: '/closed', headers })
  t.strictSame(statuses(await times(6, () => ask(spent.headers))), [200, 200, 200, 200, 200, 429])

  const people: Record<string, string>[] = []
  for (let number = 0; number < 10; number++) people.push((await aUser(app)).headers)
  const all = () => Promise.all([...people, spent.headers].map(ask))
  for (const [stop, back] of [
    [server.freeze, server.resume],
    [server.kill, server.startAgain],
  ] as const) {
    const rounds = [all()]
    stop()
    rounds.push(all())
    await until(() => app.sharedRedis?.isThere === false)
    for (const round of await Promise.all(rounds)) {
      t.strictSame(
        statuses(round),
        [...people.map(() => 200), 429],
        'who had used up his quota gets no new one',
      )
    }
    await back()
    await until(() => app.sharedRedis?.isThere)
  }
  t.equal((await ask(people[0] as Record<string, string>)).statusCode, 200)
})

async function until(holds: () => boolean | undefined) {
  while (!holds()) await new Promise(resolve => setImmediate(resolve))
}
