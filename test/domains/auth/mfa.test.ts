import { mock } from 'node:test'
import { eq, sql } from 'drizzle-orm'
import { Secret, TOTP, URI } from 'otpauth'
import { type Test, test } from 'tap'
import { newApiKey } from '../../../src/accounts/api-key-format.ts'
import { resealSecrets } from '../../../src/accounts/reseal.ts'
import { apiKeys, loginFailures, recoveryCodes, users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { allRows, firstRow } from '../../../src/db/rows.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import type { Database } from '../../../src/db/types.ts'
import { SCOPES } from '../../../src/lib/access.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { sha256 } from '../../../src/lib/opaque.ts'
import { createVault } from '../../../src/lib/vault.ts'
import { openLetter } from '../../../src/mail/letter.ts'
import { serverUrl, testDatabase } from '../../database.ts'
import { aUser, build, recordingLogger, signedIn, testConfig } from '../../helper.ts'

const STEP_MS = 30_000
const password = 'correct horse'
const wrongPassword = 'wrong horse'
const cheap = { ARGON2_MEMORY_COST: '8192', ARGON2_TIME_COST: '1' }

// In the middle of a step, and moved by the tests only: real time would now and then pass from one step to the next
// between a code and its use.
mock.timers.enable({ apis: ['Date'], now: Math.floor(Date.now() / STEP_MS) * STEP_MS + STEP_MS / 2 })

const pass = (ms: number) => mock.timers.setTime(Date.now() + ms)

const open = (t: Test, variables = {}) => build(t, { variables: { ...cheap, ...variables } })

interface Call {
  token?: string | undefined
  payload?: object
  method?: 'POST' | 'DELETE'
}

const call = (app: App, path: string, { token, payload, method = 'POST' }: Call = {}) =>
  app.inject({
    method,
    url: `/api/v1/auth/${path}`,
    ...(payload && { payload }),
    ...(token && { headers: { authorization: `Bearer ${token}` } }),
  })

async function registered(app: App) {
  const payload = { email: `${newId()}@example.com`, password, first_name: 'Ada', last_name: 'Lovelace' }
  const answer = await call(app, 'register', { payload })
  return { ...answer.json(), email: payload.email } as {
    email: string
    user: { id: string }
    access_token: string
  }
}

/** As an authenticator shows it, or showed or will show it some steps off. */
const codeFor = (secret: string, steps = 0) =>
  new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + steps * STEP_MS })

/** One that is not of any step that could be accepted. */
function wrongCode(secret: string): string {
  const near = [-2, -1, 0, 1, 2].map(steps => codeFor(secret, steps))
  return ['000000', '111111', '222222', '333333', '444444', '555555'].find(code => !near.includes(code)) ?? ''
}

async function enrolled(app: App) {
  const person = await registered(app)
  const { access_token: token } = person
  const { secret } = (await call(app, 'mfa/totp', { token })).json() as { secret: string }
  const answer = await call(app, 'mfa/totp/confirm', { token, payload: { code: codeFor(secret) } })
  const { recovery_codes } = answer.json() as { recovery_codes: string[] }
  // Past the step that is used up by now.
  pass(STEP_MS)
  return { ...person, token, secret, recovery_codes }
}

const logIn = (app: App, email: string, word = password) =>
  call(app, 'login', { payload: { email, password: word } })

const verify = (app: App, mfa_token: string, code: string) =>
  call(app, 'mfa/verify', { payload: { mfa_token, code } })

async function pending(app: App, email: string): Promise<string> {
  return (await logIn(app, email)).json().mfa_token
}

/** What a request has led to, as administrators and the mailbox see it. */
async function effectsOf(app: App, { headers }: { headers: Record<string, unknown> }) {
  const request_id = String(headers['x-request-id'])
  const url = `/api/v1/audit?request_id=${request_id}`
  const { data } = (await app.inject({ url, headers: await signedIn(app) })).json()
  const jobs = await allRows<{ data: { payload: { sealed: string } } }>(
    app.database.db,
    sql`select data from pgboss.job where name = 'mail.send' and data->'origin'->>'request_id' = ${request_id}`,
  )
  const mails = jobs.map(job => openLetter(app.accounts.config, job.data.payload.sealed))
  return { events: data, mails }
}

async function rowOf(app: App, id: string) {
  const [row] = await app.database.db.select().from(users).where(eq(users.id, id))
  return row as NonNullable<typeof row>
}

/** As they are stored. */
async function hashesOf(app: App, id: string): Promise<string[]> {
  const rows = await app.database.db.select().from(recoveryCodes).where(eq(recoveryCodes.user_id, id))
  return rows.map(({ code_hash }) => Buffer.from(code_hash).toString('hex')).sort()
}

const hashed = (codes: string[]) => codes.map(code => sha256(code).toString('hex')).sort()

const forgetFailures = (app: App) => app.database.db.delete(loginFailures)

const statuses = (answers: { statusCode: number }[]) => answers.map(({ statusCode }) => statusCode).sort()

test('enable, confirm, sign in by a code', async t => {
  const app = await open(t, { APP_URL: 'https://app.example.com:8443/shop' })
  const { email, user, access_token: token } = await registered(app)
  const begun = await call(app, 'mfa/totp', { token })
  t.equal(begun.statusCode, 200, begun.body)
  t.equal(begun.headers['cache-control'], 'private, no-store')
  const { secret, otpauth_uri, qr_svg, ...rest } = begun.json()
  t.strictSame(rest, {})
  t.match(secret, /^[A-Z2-7]{32}$/)
  t.match(qr_svg, /^<svg [\s\S]*<\/svg>$/)
  const read = URI.parse(otpauth_uri)
  t.match(read, { issuer: 'app.example.com 8443', label: email, secret: { base32: secret } })
  t.strictSame(await effectsOf(app, begun), { events: [], mails: [] }, 'nothing has changed yet')
  t.notOk((await rowOf(app, user.id)).totp_secret?.includes(secret), 'it is stored sealed')
  t.match((await logIn(app, email)).json(), { user: { mfa_enabled: false, version: 1 } })

  const code = codeFor(secret)
  const confirmed = await call(app, 'mfa/totp/confirm', {
    token,
    payload: { code: `${code.slice(0, 3)} ${code.slice(3)}` },
  })
  t.equal(confirmed.statusCode, 200, confirmed.body)
  t.equal(confirmed.headers['cache-control'], 'private, no-store')
  const { recovery_codes, ...nothing } = confirmed.json()
  t.strictSame(nothing, {})
  t.equal(new Set(recovery_codes).size, 10)
  t.strictSame(await hashesOf(app, user.id), hashed(recovery_codes), 'only their hashes are stored')
  const { events, mails } = await effectsOf(app, confirmed)
  t.equal(events.length, 1)
  t.match(events[0], {
    type: 'mfa.enabled',
    actor: { type: 'user', id: user.id },
    owner_id: user.id,
    subject: { type: 'mfa', id: user.id },
  })
  t.strictSame(events[0].changes, { mfa_enabled: [false, true] })
  t.match(mails, [{ to: email, template: 'mfa-changed', data: { first_name: 'Ada', change: 'enabled' } }])
  t.equal(mails.length, 1)

  const half = await logIn(app, email)
  t.equal(half.statusCode, 200)
  const { mfa_token, ...asked } = half.json()
  t.strictSame(asked, { mfa_required: true, methods: ['totp', 'recovery_code'] })
  t.notMatch(half.headers, { 'set-cookie': /./ })
  t.strictSame(statuses([await call(app, 'logout', { token: mfa_token })]), [401], 'it is no access token')
  t.match((await verify(app, mfa_token, code)).json(), { code: 'mfa_invalid' }, 'the confirmation used it up')
  const whole = await verify(app, mfa_token, codeFor(secret, 1))
  t.equal(whole.statusCode, 200, whole.body)
  t.match(whole.json(), { token_type: 'Bearer', user: { id: user.id, mfa_enabled: true, version: 2 } })
  t.notMatch(whole.body, /totp|secret|hash|argon2/)
  const signed = (await effectsOf(app, whole)).events
  t.match(signed, [{ type: 'session.created', changes: { method: [null, 'totp'] } }])
  const other = await app.inject({
    url: '/api/v1/auth/sessions',
    headers: { authorization: `Bearer ${whole.json().access_token}` },
  })
  t.equal(other.json().data.length, 3, 'the sessions from before go on')
})

test('asking again replaces the secret, until it is confirmed', async t => {
  const app = await open(t)
  const { access_token: token } = await registered(app)
  const enrol = () => call(app, 'mfa/totp', { token })
  const confirm = (code: string) => call(app, 'mfa/totp/confirm', { token, payload: { code } })
  t.match((await confirm('123456')).json(), { status: 409, code: 'conflict' })
  const [first, second] = [(await enrol()).json().secret, (await enrol()).json().secret]
  t.not(first, second)
  t.match((await confirm(codeFor(first))).json(), { status: 401, code: 'mfa_invalid' })
  t.match((await confirm(wrongCode(second))).json(), { status: 401, code: 'mfa_invalid' })
  t.equal((await confirm(codeFor(second))).statusCode, 200)
  t.match((await enrol()).json(), { status: 409, code: 'conflict' })
  t.match((await confirm(codeFor(second, 1))).json(), { status: 409, code: 'conflict' })
})

test('of parallel confirmations one wins, and its recovery codes are the ones', async t => {
  const app = await open(t)
  const { user, access_token: token } = await registered(app)
  const { secret } = (await call(app, 'mfa/totp', { token })).json()
  const payload = { code: codeFor(secret) }
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => call(app, 'mfa/totp/confirm', { token, payload })),
  )
  t.strictSame(statuses(answers), [200, 409, 409, 409, 409])
  const { recovery_codes } = answers.find(({ statusCode }) => statusCode === 200)?.json() ?? {}
  t.strictSame(await hashesOf(app, user.id), hashed(recovery_codes))
})

test('a code works once, also when it comes ten times at once', async t => {
  const app = await open(t)
  const { email, secret } = await enrolled(app)
  const mfa_token = await pending(app, email)
  const code = codeFor(secret)
  const answers = await Promise.all(Array.from({ length: 10 }, () => verify(app, mfa_token, code)))
  t.strictSame(statuses(answers), [200, ...Array(9).fill(401)])
  // Those that came too late were wrong codes: one more would lock.
  await forgetFailures(app)
  t.match((await verify(app, await pending(app, email), code)).json(), { status: 401, code: 'mfa_invalid' })
  t.equal((await verify(app, await pending(app, email), codeFor(secret, 1))).statusCode, 200)
  t.equal((await verify(app, mfa_token, codeFor(secret))).statusCode, 401, 'nor does one from before')
})

test('a recovery code works once, in any spelling, also when it comes ten times at once', async t => {
  const app = await open(t)
  const { email, recovery_codes } = await enrolled(app)
  const [first = '', second = '', third = ''] = recovery_codes
  const mfa_token = await pending(app, email)
  const answers = await Promise.all(Array.from({ length: 10 }, () => verify(app, mfa_token, first)))
  t.strictSame(statuses(answers), [200, ...Array(9).fill(401)])
  await forgetFailures(app)
  const good = answers.find(({ statusCode }) => statusCode === 200)
  const { events } = await effectsOf(app, good as NonNullable<typeof good>)
  t.match(events, [{ type: 'session.created', changes: { method: [null, 'recovery_code'] } }])
  const shouted = ` ${second.toUpperCase().replaceAll('-', ' – ').replaceAll('1', 'I').replaceAll('0', 'O')} `
  t.equal((await verify(app, await pending(app, email), shouted)).statusCode, 200)
  t.equal((await verify(app, await pending(app, email), second)).statusCode, 401)
  t.equal((await verify(app, await pending(app, email), third.replaceAll('-', ''))).statusCode, 200)
})

test('a code of the step before or after is good, one of two steps off is not', async t => {
  const app = await open(t)
  for (const [steps, expected] of [
    [-2, 401],
    [-1, 200],
    [0, 200],
    [1, 200],
    [2, 401],
  ] as const) {
    const { email, secret } = await enrolled(app)
    // Far enough that the step used by the confirmation is not what refuses.
    pass(3 * STEP_MS)
    const answer = await verify(app, await pending(app, email), codeFor(secret, steps))
    t.equal(answer.statusCode, expected, `${steps} steps off`)
  }
})

test('wrong codes and wrong passwords lock together, and a right password does not forgive', async t => {
  const app = await open(t)
  const { email, secret } = await enrolled(app)
  for (let n = 0; n < 3; n++) t.equal((await logIn(app, email, wrongPassword)).statusCode, 401)
  for (let n = 0; n < 7; n++) {
    const answer = await verify(app, await pending(app, email), wrongCode(secret))
    t.match(answer.json(), { status: 401, code: 'mfa_invalid' }, `${n}`)
    if (n === 0) {
      const { events } = await effectsOf(app, answer)
      t.match(events, [{ type: 'login.failed', changes: { reason: [null, 'wrong_code'] } }])
    }
  }
  const locked = await logIn(app, email)
  t.match(locked.json(), { status: 429, code: 'account_locked' })
  t.equal(locked.headers['retry-after'], '60')
})

test('a lock is there for the code as well, even for the right one', async t => {
  const app = await open(t)
  const { email, secret, recovery_codes } = await enrolled(app)
  const mfa_token = await pending(app, email)
  const guesses = await Promise.all(
    Array.from({ length: 10 }, () => verify(app, mfa_token, wrongCode(secret))),
  )
  t.strictSame(statuses(guesses), Array(10).fill(401))
  for (const code of [codeFor(secret), recovery_codes[0] ?? '']) {
    const answer = await verify(app, mfa_token, code)
    t.match(answer.json(), { status: 429, code: 'account_locked' })
    t.equal(answer.headers['retry-after'], '60')
  }
})

test('a right code forgives the wrong ones', async t => {
  const app = await open(t)
  const { email, secret } = await enrolled(app)
  for (let round = 0; round < 2; round++) {
    const mfa_token = await pending(app, email)
    for (let n = 0; n < 9; n++) t.equal((await verify(app, mfa_token, wrongCode(secret))).statusCode, 401)
    t.equal((await verify(app, mfa_token, codeFor(secret))).statusCode, 200)
    pass(STEP_MS)
  }
})

test('only what a login gave out a moment ago may be completed', async t => {
  const app = await open(t)
  const { email, secret, user, token } = await enrolled(app)
  const { vault } = app.accounts
  const mfa_token = await pending(app, email)
  const inside = JSON.parse(vault.open(mfa_token)).mfa
  const seal = (content: unknown) => vault.seal(JSON.stringify(content))
  const middle = mfa_token.length >> 1
  const swapped = mfa_token[middle] === 'A' ? 'B' : 'A'
  const mail = createVault(app.accounts.config.JWT_SECRET_KEY, 'mail')
  const tokens = {
    tampered: mfa_token.slice(0, middle) + swapped + mfa_token.slice(middle + 1),
    cut: mfa_token.slice(0, -1),
    plain: JSON.stringify({ mfa: inside }),
    'a reset': seal({ reset: email }),
    'a secret': vault.seal(secret),
    nothing: seal(null),
    'sealed for mails': mail.seal(JSON.stringify({ mfa: inside })),
    'of nobody': seal({ mfa: { ...inside, user_id: newId() } }),
    'of an older password': seal({ mfa: { ...inside, password_changed_at: '2020-01-01T00:00:00.000Z' } }),
    'an access token': token,
  }
  for (const [name, text] of Object.entries(tokens)) {
    t.match((await verify(app, text, codeFor(secret))).json(), { status: 401, code: 'mfa_invalid' }, name)
  }
  await app.database.db.update(users).set({ password_changed_at: sql`now()` }).where(eq(users.id, user.id))
  t.match((await verify(app, mfa_token, codeFor(secret))).json(), { status: 401, code: 'mfa_invalid' })
  t.equal((await verify(app, await pending(app, email), codeFor(secret))).statusCode, 200)
})

test('a login waits five minutes for its code', async t => {
  const app = await open(t)
  const { email, secret } = await enrolled(app)
  const early = await pending(app, email)
  pass(1)
  const late = await pending(app, email)
  pass(5 * 60_000)
  t.match((await verify(app, early, codeFor(secret))).json(), { status: 401, code: 'mfa_invalid' })
  t.equal((await verify(app, late, codeFor(secret))).statusCode, 200)
})

test('an account that was closed meanwhile cannot be entered', async t => {
  const app = await open(t)
  for (const change of [{ is_active: false }, { deleted_at: sql`now()` }, { mfa_enabled: false }]) {
    const { email, secret, user } = await enrolled(app)
    const mfa_token = await pending(app, email)
    await app.database.db.update(users).set(change).where(eq(users.id, user.id))
    t.equal((await verify(app, mfa_token, codeFor(secret))).statusCode, 401)
  }
})

test('disabling wants the password, and leaves nothing', async t => {
  const app = await open(t)
  const { email, user, token, recovery_codes } = await enrolled(app)
  const mfa_token = await pending(app, email)
  const disable = (word: string) =>
    call(app, 'mfa/totp', { method: 'DELETE', token, payload: { password: word } })
  const refused = await disable(wrongPassword)
  t.match(refused.json(), { status: 401, code: 'invalid_credentials' })
  const failure = await effectsOf(app, refused)
  t.match(failure.events, [{ type: 'login.failed', changes: { reason: [null, 'wrong_password'] } }])
  t.equal(failure.events.length, 1)
  t.equal((await rowOf(app, user.id)).mfa_enabled, true)

  const answer = await disable(password)
  t.equal(answer.statusCode, 204, answer.body)
  t.equal(answer.body, '')
  t.equal(answer.headers['cache-control'], 'private, no-store')
  const { events, mails } = await effectsOf(app, answer)
  t.equal(events.length, 1)
  t.match(events[0], { type: 'mfa.disabled', owner_id: user.id, subject: { type: 'mfa', id: user.id } })
  t.strictSame(events[0].changes, { mfa_enabled: [true, false] })
  t.match(mails, [{ to: email, template: 'mfa-changed', data: { change: 'disabled' } }])
  t.equal(mails.length, 1)
  const row = await rowOf(app, user.id)
  t.match(row, { mfa_enabled: false, totp_secret: null, totp_last_step: null, version: 3 })
  t.equal((await hashesOf(app, user.id)).length, 0)
  t.equal((await verify(app, mfa_token, recovery_codes[0] ?? '')).statusCode, 401)
  t.match((await logIn(app, email)).json(), { token_type: 'Bearer', user: { mfa_enabled: false } })
  t.match((await disable(password)).json(), { status: 409, code: 'conflict' })

  const { secret } = (await call(app, 'mfa/totp', { token })).json()
  const again = await call(app, 'mfa/totp/confirm', { token, payload: { code: codeFor(secret, -1) } })
  t.equal(again.statusCode, 200, 'no step of the old secret is held against the new one')
})

test('new recovery codes want the password, and the old ones die', async t => {
  const app = await open(t)
  const { email, user, token, recovery_codes } = await enrolled(app)
  const [used = '', left = ''] = recovery_codes
  t.equal((await verify(app, await pending(app, email), used)).statusCode, 200)
  const replace = (word: string) => call(app, 'mfa/recovery-codes', { token, payload: { password: word } })
  t.match((await replace(wrongPassword)).json(), { status: 401, code: 'invalid_credentials' })
  t.equal((await hashesOf(app, user.id)).length, 9)

  const answer = await replace(password)
  t.equal(answer.statusCode, 200, answer.body)
  t.equal(answer.headers['cache-control'], 'private, no-store')
  const fresh: string[] = answer.json().recovery_codes
  t.equal(new Set([...recovery_codes, ...fresh]).size, 20)
  t.equal((await hashesOf(app, user.id)).length, 10)
  const { events, mails } = await effectsOf(app, answer)
  t.equal(events.length, 1)
  t.match(events[0], { type: 'mfa.recovery_codes_replaced', subject: { type: 'mfa', id: user.id } })
  t.strictSame(events[0].changes, { recovery_codes_left: [9, 10] })
  t.match(mails, [{ to: email, template: 'mfa-changed', data: { change: 'recovery_codes_replaced' } }])
  t.equal(mails.length, 1)
  t.equal((await verify(app, await pending(app, email), left)).statusCode, 401)
  t.equal((await verify(app, await pending(app, email), fresh[0] ?? '')).statusCode, 200)
})

test('of recovery codes that are replaced in parallel, one set is left whole', async t => {
  const app = await open(t)
  const { user, token } = await enrolled(app)
  const answers = await Promise.all(
    Array.from({ length: 4 }, () => call(app, 'mfa/recovery-codes', { token, payload: { password } })),
  )
  t.strictSame(statuses(answers), [200, 200, 200, 200])
  const stored = JSON.stringify(await hashesOf(app, user.id))
  const sets = answers.map(answer => JSON.stringify(hashed(answer.json().recovery_codes)))
  t.ok(sets.includes(stored))
})

test('wrong passwords here lock as they do at the login', async t => {
  const app = await open(t)
  const { email, token } = await enrolled(app)
  const payload = { password: wrongPassword }
  for (let n = 0; n < 5; n++) {
    t.equal((await call(app, 'mfa/totp', { method: 'DELETE', token, payload })).statusCode, 401)
    t.equal((await call(app, 'mfa/recovery-codes', { token, payload })).statusCode, 401)
  }
  const locked = await call(app, 'mfa/totp', { method: 'DELETE', token, payload: { password } })
  t.match(locked.json(), { status: 429, code: 'account_locked' })
  t.equal(locked.headers['retry-after'], '60')
  t.equal((await logIn(app, email)).statusCode, 429)
})

test('each operation wants a session, not a key, and a whole body', async t => {
  // An e-mail that is still to be verified keeps nobody from this.
  const app = await open(t, { REQUIRE_VERIFIED_EMAIL: 'true' })
  const { id, headers } = await aUser(app)
  const token = headers.authorization.slice('Bearer '.length)
  const operations = [
    { method: 'POST', path: 'mfa/totp', good: undefined, bad: [] },
    {
      method: 'POST',
      path: 'mfa/totp/confirm',
      good: { code: '123456' },
      bad: [{}, { code: 123456 }, { code: '12345' }, { code: '1234567' }, { code: '12345a' }, { code: null }],
    },
    { method: 'DELETE', path: 'mfa/totp', good: { password }, bad: [{}, { password: '' }, { password: 1 }] },
    { method: 'POST', path: 'mfa/recovery-codes', good: { password }, bad: [{}, { password: null }] },
  ] as const
  for (const { method, path, good, bad } of operations) {
    const anonymous = await call(app, path, { method, ...(good && { payload: good }) })
    t.match(anonymous.json(), { status: 401, code: 'unauthenticated' }, `${method} ${path}`)
    t.match(anonymous.headers, { 'www-authenticate': /^Bearer/ })
    if (good === undefined) continue
    for (const payload of [...bad, { ...good, more: 1 }]) {
      const answer = await call(app, path, { method, token, payload })
      t.match(answer.json(), { status: 400, code: 'validation_failed' }, JSON.stringify(payload))
    }
    t.match((await call(app, path, { method, token })).json(), { status: 400, code: 'validation_failed' })
  }
  const key = newApiKey()
  const row = { user_id: id, name: 'key', prefix: key.slice(0, 12), key_hash: sha256(key) }
  await app.database.db.insert(apiKeys).values({ ...row, scopes: [...SCOPES] })
  for (const { method, path, good } of operations) {
    const answer = await call(app, path, { method, token: key, ...(good && { payload: good }) })
    t.match(answer.json(), { status: 403, code: 'forbidden' }, `${method} ${path}`)
  }
  const { access_token } = await registered(app)
  for (const { method, path } of operations.slice(2)) {
    const answer = await call(app, path, { method, token: access_token, payload: { password } })
    t.match(answer.json(), { status: 409, code: 'conflict' }, `${method} ${path}`)
  }
})

test('a secret that nobody can read is a code that is never right', async t => {
  const app = await open(t)
  const { email, secret, recovery_codes, user } = await enrolled(app)
  const lost = createVault('a key that nobody has any more...', 'accounts').seal(secret)
  await app.database.db.update(users).set({ totp_secret: lost }).where(eq(users.id, user.id))
  const mfa_token = await pending(app, email)
  t.match((await verify(app, mfa_token, codeFor(secret))).json(), { status: 401, code: 'mfa_invalid' })
  t.equal((await verify(app, mfa_token, recovery_codes[0] ?? '')).statusCode, 200)
})

const oldKey = 'the key of last year, 32 characters long'
const newKey = 'the key of this year, 32 characters long'
const rotating = { JWT_SECRET_KEY: newKey, JWT_SECRET_KEY_PREVIOUS: oldKey }

async function runReseal(database: Database, variables: Record<string, string>) {
  const { logger, lines } = recordingLogger()
  await resealSecrets.run(
    {},
    {
      config: testConfig(variables),
      database,
      logger,
      actor: systemActor(),
      id: newId(),
      attempt: 1,
      signal: new AbortController().signal,
      progress: () => {},
    },
  )
  return lines().at(-1)
}

test('a rotation of the key costs nobody their authenticator', async t => {
  const before = await open(t, { JWT_SECRET_KEY: oldKey })
  const { db } = before.database
  await db.update(users).set({ totp_secret: null })
  const [ada, deleted] = [await enrolled(before), await enrolled(before)]
  await db.update(users).set({ deleted_at: sql`now()` }).where(eq(users.id, deleted.user.id))
  const lost = createVault('a key that nobody has any more...', 'accounts').seal(ada.secret)
  const unlucky = await aUser(before, 'user', { totp_secret: lost })

  const during = await open(t, rotating)
  const grace = await enrolled(during)
  const mfa_token = await pending(during, ada.email)
  t.equal((await verify(during, mfa_token, codeFor(ada.secret))).statusCode, 200)
  const { version, updated_at } = await rowOf(before, ada.user.id)
  const untouched = (await rowOf(before, grace.user.id)).totp_secret
  const first = await runReseal(before.database, rotating)
  t.match(first, { level: 40, current: 1, resealed: 2, changed: 0, unreadable: 1 })
  const again = await runReseal(before.database, rotating)
  t.match(again, { current: 3, resealed: 0, unreadable: 1 }, 'a second run finds nothing to do')
  t.match(await rowOf(before, ada.user.id), { version, updated_at })
  t.equal((await rowOf(before, grace.user.id)).totp_secret, untouched)
  t.equal((await rowOf(before, unlucky.id)).totp_secret, lost)

  const after = await open(t, { JWT_SECRET_KEY: newKey })
  pass(STEP_MS)
  for (const { email, secret } of [ada, grace]) {
    t.equal((await verify(after, await pending(after, email), codeFor(secret))).statusCode, 200)
  }
  const restored = (await rowOf(after, deleted.user.id)).totp_secret
  t.equal(after.accounts.vault.open(restored ?? ''), deleted.secret)
})

test('more secrets than are read at once are all sealed again', async t => {
  const database = await testDatabase()
  const vault = createVault(oldKey, 'accounts')
  await database.db.update(users).set({ totp_secret: null })
  const names = { password_hash: 'none', first_name: 'Ada', last_name: 'Lovelace' }
  const rows = Array.from({ length: 201 }, () => {
    const id = newId()
    return { id, email: `${id}@example.com`, totp_secret: vault.seal('secret'), ...names }
  })
  await database.db.insert(users).values(rows)
  t.match(await runReseal(database, rotating), { level: 30, current: 0, resealed: 201, unreadable: 0 })
  t.match(await runReseal(database, rotating), { level: 30, current: 201, resealed: 0, unreadable: 0 })
})

test('a secret that is replaced while it is sealed again stays replaced', async t => {
  const app = await open(t)
  const database = await testDatabase()
  await database.db.update(users).set({ totp_secret: null })
  const { id } = await aUser(app, 'user', { totp_secret: createVault(oldKey, 'accounts').seal('old') })
  const replacement = createVault(newKey, 'accounts').seal('new')
  let running: ReturnType<typeof runReseal> | undefined
  await inTransaction(database.db, async tx => {
    await tx.update(users).set({ totp_secret: replacement }).where(eq(users.id, id))
    running = runReseal(database, rotating)
    // On the embedded database the job gets its turn after us, and so reads the new one.
    if (serverUrl === undefined) return
    const waiting = sql`
      select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`
    // Statistics are read once in a transaction, so not in ours.
    while ((await firstRow<{ count: number }>(database.db, waiting))?.count !== 1);
  })
  t.match(await running, { resealed: 0, ...(serverUrl && { changed: 1 }) })
  t.equal((await rowOf(app, id)).totp_secret, replacement)
})
