import { eq, sql } from 'drizzle-orm'
import { TOTP } from 'otpauth'
import { test } from 'tap'
import { loginFailures, users } from '../../../src/accounts/tables.ts'
import { changeUser, deleteUser } from '../../../src/accounts/users.ts'
import type { App } from '../../../src/app.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { aUser, build, recordingLogger } from '../../helper.ts'
import { lettersTo } from '../../mail/letters.ts'
import { bearer, CHEAP, eventsOf, newcomer, post, registered } from './people.ts'

const login = (app: App, { email, password }: { email: string; password: string }, headers = {}) =>
  post(app, '/auth/login', { email, password }, headers)

const me = '/api/v1/auth/sessions'

test('signing in opens a session', async t => {
  const log = recordingLogger()
  const app = await build(t, { variables: CHEAP, logger: log.logger })
  const person = await registered(app)
  const answer = await login(app, { ...person, email: person.email.toUpperCase() })
  t.equal(answer.statusCode, 200)
  const { user, access_token, refresh_token } = answer.json()
  t.equal(user.id, person.user.id)
  t.notMatch(answer.body, /hash|argon2|totp_secret|correct horse/)
  t.equal((await app.inject({ url: me, headers: bearer(access_token) })).statusCode, 200)
  t.strictSame(await eventsOf(app, user.id), ['user.created', 'session.created', 'session.created'])
  const [row] = await app.database.db.select().from(users).where(eq(users.id, user.id))
  t.ok(row?.last_login_at)
  for (const secret of [access_token, refresh_token, person.password]) t.notOk(log.text().includes(secret))
})

test('an unknown e-mail, a wrong password and a deleted account get the same answer', async t => {
  const app = await build(t, { variables: CHEAP })
  const [known, deleted] = [await registered(app), await registered(app)]
  await inTransaction(app.database.db, tx => deleteUser(tx, app.accounts, systemActor(), deleted.user.id))
  const bodies = []
  for (const person of [newcomer(), { ...known, password: 'wrong password' }, deleted]) {
    const answer = await login(app, person)
    t.equal(answer.statusCode, 401)
    t.equal(answer.headers['www-authenticate'], 'Bearer')
    const { request_id, ...body } = answer.json()
    t.ok(request_id)
    bodies.push(body)
  }
  t.match(bodies[0], { code: 'invalid_credentials', detail: 'Invalid email or password' })
  t.strictSame(bodies[1], bodies[0])
  t.strictSame(bodies[2], bodies[0])
  t.equal((await eventsOf(app, known.user.id)).at(-1), 'login.failed')
})

test('only who knows the password learns that an account is disabled', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  const off = { is_active: false }
  await inTransaction(app.database.db, tx => changeUser(tx, app.accounts, systemActor(), person.user.id, off))
  t.match((await login(app, person)).json(), { status: 401, code: 'account_disabled' })
  t.match((await login(app, { ...person, password: 'wrong' })).json(), { code: 'invalid_credentials' })
  t.equal((await app.inject({ url: me, headers: person.headers })).statusCode, 401)
  t.equal((await post(app, '/auth/refresh', { refresh_token: person.refresh_token })).statusCode, 401)
})

test('ten failures lock, for an account as for none, and the owner is told', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  for (const { email } of [person, newcomer()]) {
    for (let failure = 1; failure <= 10; failure++) {
      t.match((await login(app, { email, password: `wrong ${failure}` })).json(), {
        code: 'invalid_credentials',
      })
    }
    const locked = await login(app, { email, password: person.password })
    t.match(locked.json(), { status: 429, code: 'account_locked' })
    t.equal(locked.headers['retry-after'], '60')
  }
  t.equal((await app.inject({ url: me, headers: person.headers })).statusCode, 200, 'sessions go on')
  const letters = await lettersTo(app, person.email)
  t.match(letters.at(-1), { template: 'account-locked', data: { failures: 10, ip: '127.0.0.1' } })
  t.strictSame((await eventsOf(app, person.user.id)).slice(-2), ['login.failed', 'account.locked'])
})

test('each lock is longer than the one before, and time undoes it', async t => {
  const app = await build(t, { variables: CHEAP })
  const { db } = app.database
  const person = await registered(app)
  const wrong = { ...person, password: 'wrong' }
  const waits = []
  for (let failure = 1; failure <= 9; failure++) await login(app, wrong)
  for (let lock = 1; lock <= 4; lock++) {
    t.equal((await login(app, wrong)).statusCode, 401)
    waits.push((await login(app, person)).headers['retry-after'])
    await db.update(loginFailures).set({ locked_until: sql`now()` })
  }
  t.strictSame(waits, ['60', '120', '240', '480'])
  t.equal((await login(app, person)).statusCode, 200)
  t.equal((await login(app, wrong)).statusCode, 401)
  t.equal((await login(app, person)).statusCode, 200, 'what was is forgotten')
})

test('failures that are a quarter of an hour apart do not add up', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  const wrong = { ...person, password: 'wrong' }
  for (let failure = 1; failure <= 9; failure++) await login(app, wrong)
  await app.database.db
    .update(loginFailures)
    .set({ failed_at: sql`(select array_agg(at - interval '15 min') from unnest(failed_at) as at)` })
  for (let failure = 1; failure <= 9; failure++) await login(app, wrong)
  t.equal((await login(app, person)).statusCode, 200)
})

test('thirty guesses at once are ten guesses, and one lock', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  const guesses = Array.from({ length: 30 }, (_, at) => login(app, { ...person, password: `guess ${at}` }))
  const right = login(app, person)
  await Promise.all(guesses)
  t.match((await right).json(), { code: /account_locked|unavailable/ }, 'the right one came too late')
  const [row] = await app.database.db
    .select({ locks: loginFailures.locks })
    .from(loginFailures)
    .orderBy(sql`last_failed_at desc`)
    .limit(1)
  t.equal(row?.locks, 1)
  t.equal((await eventsOf(app, person.user.id)).filter(type => type === 'account.locked').length, 1)
})

test('the right password among many guesses is not told by what it would have led to', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app, { email: newcomer().email })
  await app.database.db.update(users).set({ is_active: false }).where(eq(users.id, person.user.id))
  const guesses = Array.from({ length: 30 }, (_, at) => login(app, { ...person, password: `guess ${at}` }))
  const right = login(app, person)
  await Promise.all(guesses)
  t.match((await right).json(), { code: /account_locked|unavailable/ })
})

test('a hundred codes at once are ten codes', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  const { secret } = (await post(app, '/auth/mfa/totp', undefined, person.headers)).json()
  const totp = new TOTP({ secret })
  await post(app, '/auth/mfa/totp/confirm', { code: totp.generate() }, person.headers)
  const { mfa_token } = (await login(app, person)).json()
  // Of the next step, which is accepted already, because that of this one is used up.
  const good = totp.generate({ timestamp: Date.now() + 30_000 })
  const codes = Array.from({ length: 100 }, (_, at) => String(100_000 + at)).filter(code => code !== good)
  const answers = await Promise.all(
    [...codes, good].map(code => post(app, '/auth/mfa/verify', { mfa_token, code })),
  )
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 0)
  t.equal(answers.filter(({ statusCode }) => statusCode === 401).length, 10)
  t.equal(answers.at(-1)?.statusCode, 429)
})

test('a password hashed in another way is hashed anew when it is next used', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  const stronger = await build(t, {
    database: app.database,
    variables: { ...CHEAP, ARGON2_TIME_COST: '2' },
  })
  t.equal((await login(stronger, { ...person, password: 'wrong' })).statusCode, 401)
  t.equal((await login(stronger, person)).statusCode, 200)
  const [row] = await app.database.db.select().from(users).where(eq(users.id, person.user.id))
  t.match(row?.password_hash, /m=8192,t=2,p=1/)
  t.equal(row?.version, 1, 'nothing has changed')
  t.equal((await login(stronger, person)).statusCode, 200)
})

test('a device that was not seen before is told, another version of the browser is not', async t => {
  const app = await build(t, { variables: CHEAP })
  const agent = (version: number) => ({
    'user-agent': `Mozilla/5.0 (X11; Linux x86_64; rv:${version}.0) Firefox`,
  })
  const person = newcomer()
  await post(app, '/auth/register', person, agent(120))
  const devices = async () =>
    (await lettersTo(app, person.email)).filter(({ template }) => template === 'new-device')
  await login(app, person, agent(121))
  t.equal((await devices()).length, 0)
  await login(app, person, { 'user-agent': 'curl/8' })
  t.match(await devices(), [{ data: { user_agent: 'curl/8', ip: '127.0.0.1' } }])
  await login(app, person, { 'user-agent': 'curl/9' })
  t.equal((await devices()).length, 1)
})

test('what is no login at all is 400', async t => {
  const app = await build(t, { variables: CHEAP })
  for (const body of [
    {},
    { email: 'x@example.com' },
    { email: 'x', password: 'y' },
    { email: 'x@example.com', password: 5 },
    { email: 'x@example.com', password: '' },
    { email: 'x@example.com', password: 'x'.repeat(129) },
    { email: 'x@example.com', password: 'good enough', remember: true },
  ]) {
    const answer = await post(app, '/auth/login', body)
    t.match(answer.json(), { status: 400, code: 'validation_failed' })
  }
  t.match((await post(app, '/auth/mfa/verify', { mfa_token: 'x', code: '123456' })).json(), {
    status: 401,
    code: 'mfa_invalid',
  })
  t.ok(await aUser(app))
})

test('ten failures lock, whatever the addresses they come from', async t => {
  const app = await build(t, { variables: { ...CHEAP, TRUST_PROXY: 'loopback' } })
  const person = await registered(app)
  const from = (address: string, password: string) =>
    login(app, { ...person, password }, { 'x-forwarded-for': address })
  for (let failure = 1; failure <= 10; failure++) {
    const address = failure % 2 === 0 ? `203.0.113.${failure}` : `2001:db8:${failure}::1`
    t.match((await from(address, 'wrong')).json(), { code: 'invalid_credentials' }, address)
  }
  t.match((await from('198.51.100.1', person.password)).json(), { status: 429, code: 'account_locked' })
  t.match((await lettersTo(app, person.email)).at(-1), {
    template: 'account-locked',
    data: { failures: 10, ip: '203.0.113.10' },
  })
  const { headers } = await aUser(app, 'admin')
  const url = `/api/v1/audit?owner_id=${person.user.id}&type=login.failed`
  const { data } = (await app.inject({ url, headers })).json()
  t.equal(new Set(data.map(({ ip }: { ip: string }) => ip)).size, 10)
})
