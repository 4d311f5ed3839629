import { setTimeout as wait } from 'node:timers/promises'
import { TOTP } from 'otpauth'
import { type Test, test } from 'tap'
import { newApiKey, shownPart } from '../../../src/accounts/api-key-format.ts'
import { apiKeys } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { SCOPES } from '../../../src/lib/access.ts'
import { sha256 } from '../../../src/lib/opaque.ts'
import { build } from '../../helper.ts'
import { bearer, CHEAP, eventsOf, newcomer, post, registered } from './people.ts'

const origin = 'https://app.example.com'

const open = (t: Test, variables = {}) =>
  build(t, { variables: { ...CHEAP, CORS_ORIGINS: origin, ...variables } })

type Answer = Awaited<ReturnType<typeof post>>

/** The refresh cookie that an answer sets, as a browser sends it back. */
const cookieOf = ({ headers }: Answer) => String(headers['set-cookie'] ?? '').split(';')[0] ?? ''

const isRefreshCookie = /^__Secure-plinth_refresh=plr_[\w-]+$/

async function inCookieMode(app: App) {
  const person = newcomer()
  const answer = await post(app, '/auth/register', { ...person, cookie: true })
  const { access_token, user } = answer.json()
  return { ...person, user, access_token, headers: bearer(access_token), cookie: cookieOf(answer) }
}

async function aKey(app: App, user_id: string): Promise<string> {
  const key = newApiKey()
  const values = { user_id, name: 'x', prefix: shownPart(key), key_hash: sha256(key), scopes: [...SCOPES] }
  await app.database.db.insert(apiKeys).values(values)
  return key
}

/** What clients attach to every request, be it of use or not. */
async function attachments(app: App, person: Awaited<ReturnType<typeof inCookieMode>>) {
  const key = await aKey(app, person.user.id)
  return {
    nothing: {},
    'an access token that has expired': person.headers,
    'a forged access token': bearer('x.y.z'),
    'another scheme': { authorization: 'Basic eDp5' },
    'an API key as Bearer': bearer(key),
    'an API key': { 'x-api-key': key },
  } as Record<string, Record<string, string>>
}

async function untilExpired(app: App, token: string) {
  while (app.accessTokens.read(token) !== undefined) await wait(50)
}

test('login and the second step of it give the refresh token in a cookie, too', async t => {
  const app = await open(t)
  const { email, password, headers } = await registered(app)
  const login = await post(app, '/auth/login', { email, password, cookie: true })
  t.match(cookieOf(login), isRefreshCookie)
  t.notOk('refresh_token' in login.json())
  const plain = await post(app, '/auth/login', { email, password, cookie: false })
  t.notOk(plain.headers['set-cookie'])
  t.match(plain.json().refresh_token, /^plr_/)

  const totp = new TOTP({ secret: (await post(app, '/auth/mfa/totp', undefined, headers)).json().secret })
  const { recovery_codes } = (
    await post(app, '/auth/mfa/totp/confirm', { code: totp.generate() }, headers)
  ).json()
  const pending = await post(app, '/auth/login', { email, password })
  t.notOk(pending.headers['set-cookie'])
  const { mfa_token } = pending.json()
  const verified = await post(app, '/auth/mfa/verify', { mfa_token, code: recovery_codes[0], cookie: true })
  t.equal(verified.statusCode, 200)
  t.match(cookieOf(verified), isRefreshCookie)
  t.notOk('refresh_token' in verified.json())
  for (const [number, [first, second, expected]] of [
    [true, undefined, true],
    [true, false, false],
    [false, true, true],
    [false, undefined, false],
  ].entries()) {
    const half = await post(app, '/auth/login', { email, password, cookie: first })
    const whole = await post(app, '/auth/mfa/verify', {
      ...{ mfa_token: half.json().mfa_token, code: recovery_codes[number + 1] },
      ...(second !== undefined && { cookie: second }),
    })
    t.equal(whole.statusCode, 200)
    t.equal(isRefreshCookie.test(cookieOf(whole)), expected, `${first}, then ${second}`)
    t.equal('refresh_token' in whole.json(), !expected)
  }
  for (const answer of [login, verified]) {
    const cookie = cookieOf(answer)
    t.equal((await post(app, '/auth/refresh', undefined, { cookie, origin })).statusCode, 200)
  }
})

test('whatever else is attached, a good cookie refreshes', async t => {
  const app = await open(t, { JWT_ACCESS_TOKEN_EXPIRES: '1' })
  const person = await inCookieMode(app)
  const valid = await post(app, '/auth/refresh', undefined, {
    ...person.headers,
    cookie: person.cookie,
    origin,
  })
  t.equal(valid.statusCode, 200, 'a good access token')
  let cookie = cookieOf(valid)
  await untilExpired(app, person.access_token)
  for (const [name, headers] of Object.entries(await attachments(app, person))) {
    const refreshed = await post(app, '/auth/refresh', undefined, { ...headers, cookie, origin })
    t.equal(refreshed.statusCode, 200, name)
    t.notOk('refresh_token' in refreshed.json(), 'a cookie for a cookie')
    t.not(cookieOf(refreshed), cookie)
    cookie = cookieOf(refreshed)
    const elsewhere = { ...headers, cookie, origin: 'https://evil.example' }
    t.match((await post(app, '/auth/refresh', undefined, elsewhere)).json(), { code: 'csrf_failed' }, name)
    t.match((await post(app, '/auth/refresh', undefined, headers)).json(), { status: 401 }, name)
  }
  const asBearer = { ...bearer('plr_no_such_token'), cookie, origin }
  t.equal((await post(app, '/auth/refresh', undefined, asBearer)).statusCode, 401, 'it was sent to be used')
})

test('where the access token is not good, the cookie signs out', async t => {
  const app = await open(t, { JWT_ACCESS_TOKEN_EXPIRES: '1' })
  const names = Object.keys(await attachments(app, await inCookieMode(app)))
  const people = await Promise.all(names.map(() => inCookieMode(app)))
  for (const { access_token } of people) await untilExpired(app, access_token)
  for (const [number, person] of people.entries()) {
    const name = names[number] ?? ''
    const headers = (await attachments(app, person))[name] ?? {}
    const { cookie } = person
    const out = (more: Record<string, string>) =>
      post(app, '/auth/logout', undefined, { ...headers, ...more })
    t.match((await out({})).json(), { status: 401, code: 'unauthenticated' }, name)
    t.match((await out({ origin })).json(), { status: 401, code: 'unauthenticated' }, name)
    t.match((await out({ cookie })).json(), { status: 403, code: 'csrf_failed' }, name)
    t.match((await out({ cookie, origin: 'https://evil.example' })).json(), { code: 'csrf_failed' }, name)
    const ended = await out({ cookie, origin })
    t.equal(ended.statusCode, 204, name)
    t.match(ended.headers['set-cookie'], /=; Max-Age=0; /)
    t.equal((await out({ cookie, origin })).statusCode, 401, `${name}: it is over`)
    t.equal((await eventsOf(app, person.user.id)).at(-1), 'session.revoked')
  }
})

test('a good access token signs out by itself, wherever the page is from', async t => {
  const app = await open(t)
  const { headers, cookie } = await inCookieMode(app)
  const out = await post(app, '/auth/logout', undefined, {
    ...headers,
    cookie,
    origin: 'https://evil.example',
  })
  t.equal(out.statusCode, 204)
  t.equal((await post(app, '/auth/refresh', undefined, { cookie, origin })).statusCode, 401)
})
