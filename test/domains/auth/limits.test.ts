import { eq } from 'drizzle-orm'
import { parseList } from 'structured-headers'
import t, { type Test, test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser, build, signedIn } from '../../helper.ts'
import { CHEAP, newcomer, registered } from './people.ts'

const open = (t: Test, variables: Record<string, string> = {}) =>
  build(t, { variables: { ...CHEAP, RATELIMIT_ENABLED: 'true', TRUST_PROXY: 'loopback', ...variables } })

// For all that need no other limits: who is counted there is somebody, or somewhere, else each time.
const app = await open(t, { MAIL_SERVER: 'localhost' })

let places = 0
/** Somewhere nobody has been yet. */
const anywhere = () => `10.${++places >> 8}.${places & 255}.1`

const from =
  (address: string, { inject }: Pick<App, 'inject'> = app) =>
  (path: string, payload?: unknown, headers: object = {}) =>
    inject({
      method: 'POST',
      url: `/api/v1${path}`,
      headers: { 'x-forwarded-for': address, ...headers },
      ...(payload !== undefined && { payload: payload as object }),
    })

const refused = (answer: { json(): { detail?: string } }) => answer.json().detail?.split(',')[0]

test('one address cannot try many accounts', async t => {
  const guess = (address: string) =>
    from(address)('/auth/login', { email: newcomer().email, password: 'a guess' })
  const place = anywhere()
  for (let turn = 0; turn < 10; turn++) t.equal((await guess(place)).statusCode, 401)
  const answer = await guess(place)
  t.equal(answer.statusCode, 429)
  t.match(answer.json(), { code: 'rate_limited' })
  t.equal(refused(answer), 'The limit login')
  t.equal((await guess(anywhere())).statusCode, 401, 'others go on')
})

test('many addresses cannot try one account, whether or not it exists', async t => {
  const known = await aUser(app)
  for (const email of [known.email, newcomer().email]) {
    const answers = []
    for (let turn = 0; turn < 11; turn++) {
      const written = turn % 2 ? email.toUpperCase() : email
      answers.push(await from(anywhere())('/auth/login', { email: written, password: 'a guess' }))
    }
    t.equal(answers.filter(({ statusCode }) => statusCode === 401).length, 10, email)
    t.equal(refused(answers[10] as (typeof answers)[0]), 'The limit login-account')
  }
})

test('the codes of one account are limited whatever sign-in they belong to', async t => {
  const person = await registered(app)
  const set = { mfa_enabled: true }
  await app.database.db.update(users).set(set).where(eq(users.id, person.user.id))
  const { email, password } = person
  const signIn = async () => (await from(anywhere())('/auth/login', { email, password })).json().mfa_token
  const tokens = [await signIn(), await signIn()]
  t.not(tokens[0], tokens[1])
  const answers = []
  for (let turn = 0; turn < 11; turn++) {
    const mfa_token = tokens[turn % 2]
    answers.push(await from(anywhere())('/auth/mfa/verify', { mfa_token, code: 'x'.repeat(8) }))
  }
  t.equal(refused(answers.pop() as (typeof answers)[0]), 'The limit verify-mfa-account')
  const fields = answers.map(({ headers }) => parseList(String(headers.ratelimit)))
  t.strictSame(
    fields.map(items => items.find(([name]) => name === 'verify-mfa-account')?.[1].get('r')),
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
  )
})

test('a forgotten password is mailed five times an hour to one e-mail, and from one address', async t => {
  const { email } = newcomer()
  const forget = (address: string, whose: string) => from(address)('/auth/forgot-password', { email: whose })
  for (let turn = 0; turn < 5; turn++) t.equal((await forget(anywhere(), email)).statusCode, 202)
  const sixth = await forget(anywhere(), email.toUpperCase())
  t.equal(refused(sixth), 'The limit forgot-password-account')
  t.ok(Number(sixth.headers['retry-after']) > 3500)
  const place = anywhere()
  for (let turn = 0; turn < 5; turn++) await forget(place, newcomer().email)
  t.equal(refused(await forget(place, newcomer().email)), 'The limit forgot-password')
})

test('five may register a minute from one address, by each of the two ways', async t => {
  for (const path of ['/auth/register', '/users']) {
    const place = anywhere()
    const send = from(place)
    for (let turn = 0; turn < 5; turn++) t.equal((await send(path, newcomer())).statusCode, 201, path)
    t.equal((await send(path, newcomer())).statusCode, 429, path)
    t.equal((await from(anywhere())(path, newcomer())).statusCode, 201)
    if (path === '/auth/register') continue
    const admin = await signedIn(app)
    t.equal((await send(path, newcomer(), admin)).statusCode, 201, 'an admin is counted for himself')
  }
})

test('however many share an address, each may renew a session and end it', async t => {
  const other = await open(t, { RATELIMIT_DEFAULT: '1/hour' })
  const send = from(anywhere(), other)
  const people = [await registered(other), await registered(other)]
  for (const { refresh_token } of people) {
    const answer = await send('/auth/refresh', { refresh_token })
    t.equal(answer.statusCode, 200)
    t.match(answer.headers['ratelimit-policy'], /^"refresh-address";q=600;w=60, "refresh";q=60;w=60$/)
    t.match(answer.headers.ratelimit, / "refresh";r=59;t=60$/)
    const { access_token } = answer.json()
    const out = await send('/auth/logout', undefined, { authorization: `Bearer ${access_token}` })
    t.equal(out.statusCode, 204)
  }
})

test('who shares an address with somebody who logs out in vain can log out', async t => {
  const place = anywhere()
  for (let turn = 0; turn < 60; turn++) await from(place)('/auth/logout')
  t.equal((await from(place)('/auth/logout')).statusCode, 429)
  const { headers } = await aUser(app)
  t.equal((await from(place)('/auth/logout', undefined, headers)).statusCode, 204)
})

test('what is not valid uses up nobody’s quota, and what is large is not read', async t => {
  const { email } = newcomer()
  for (let turn = 0; turn < 6; turn++) {
    const answer = await from(anywhere())('/auth/forgot-password', { email, more: true })
    t.equal(answer.statusCode, 400)
  }
  t.equal((await from(anywhere())('/auth/forgot-password', { email })).statusCode, 202)
  for (const path of ['/auth/refresh', '/auth/login', '/auth/logout']) {
    const answer = await from(anywhere())(path, `"${'x'.repeat(17_000)}"`, {
      'content-type': 'application/json',
    })
    t.equal(answer.statusCode, 413, path)
    t.ok(answer.headers['ratelimit-policy'], 'and counted')
  }
})

test('API keys do not multiply the accounts that one may create', async t => {
  const { headers } = await aUser(app)
  const place = anywhere()
  const made: number[] = []
  for (let turn = 0; turn < 6; turn++) {
    const given = turn % 2 ? headers : {}
    made.push((await from(place)('/users', newcomer(), given)).statusCode)
  }
  t.strictSame(made, [201, 201, 201, 201, 201, 429])
})

test('what is costly has limits of its own', async t => {
  const { headers } = await aUser(app, 'user', { email_verified: false })
  const tier = '"standard";q=5000;w=3600'
  const expected = {
    '/auth/verify-email/resend': `${tier}, "resend-verification";q=5;w=3600`,
    '/auth/api-keys': `${tier}, "create-api-key";q=30;w=3600`,
    [`/webhooks/${newId()}/ping`]: `${tier}, "ping-webhook";q=60;w=3600`,
    [`/webhooks/${newId()}/replay`]: `${tier}, "replay-webhook";q=60;w=3600`,
    '/items': tier,
  }
  for (const [path, field] of Object.entries(expected)) {
    const answer = await from(anywhere())(path, undefined, headers)
    t.equal(answer.headers['ratelimit-policy'], field, path)
  }
})

test('a body of any kind is a fault of the caller', async t => {
  const paths = ['/auth/login', '/auth/mfa/verify', '/auth/forgot-password', '/auth/refresh', '/auth/logout']
  const json = { 'content-type': 'application/json' }
  for (const path of paths) {
    for (const payload of ['null', '[]', '5', '"x"', '{"email":{},"mfa_token":[],"refresh_token":1}', '']) {
      const { statusCode } = await from(anywhere())(path, payload, payload ? json : {})
      t.ok(statusCode < 500 || statusCode === 503, `${path} ${payload} ${statusCode}`)
    }
  }
})
