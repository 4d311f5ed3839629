import { eq, sql } from 'drizzle-orm'
import { TOTP } from 'otpauth'
import { test } from 'tap'
import { sendResetLink } from '../../../src/accounts/jobs.ts'
import { oneTimeLinks, users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { allRows } from '../../../src/db/rows.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser, build, recordingLogger } from '../../helper.ts'
import { lettersTo, tokenTo } from '../../mail/letters.ts'
import { bearer, CHEAP, eventsOf, newcomer, post, registered } from './people.ts'

const variables = { ...CHEAP, APP_URL: 'https://app.example.com/' }

const verified = async (app: App, id: string) =>
  (await app.database.db.select().from(users).where(eq(users.id, id)))[0]?.email_verified

/** What the worker would do with each request for a link that is waiting. */
async function runResetJobs(app: App) {
  const { db } = app.database
  const rows = await allRows<{ sealed: string }>(
    db,
    sql`delete from pgboss.job where name = ${sendResetLink.name} returning data->'payload'->>'sealed' as sealed`,
  )
  for (const { sealed } of rows) {
    await sendResetLink.run(
      { sealed },
      {
        config: app.accounts.config,
        database: app.database,
        logger: recordingLogger().logger,
        actor: systemActor(),
        id: newId(),
        attempt: 1,
        signal: new AbortController().signal,
        progress() {},
      },
    )
  }
  return rows.length
}

async function askForReset(app: App, email: string) {
  const answer = await post(app, '/auth/forgot-password', { email })
  await runResetJobs(app)
  return answer
}

test('the link in the first mail verifies the e-mail, once', async t => {
  const app = await build(t, { variables })
  const { email, user } = await registered(app)
  const [letter] = await lettersTo(app, email)
  t.match(letter?.data.url, /^https:\/\/app\.example\.com\/verify-email#token=[\w-]{43}$/)
  const token = await tokenTo(app, email, 'verify-email')
  const answers = await Promise.all([1, 2, 3].map(() => post(app, '/auth/verify-email', { token })))
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [204, 401, 401])
  t.match((await post(app, '/auth/verify-email', { token })).json(), { status: 401, code: 'invalid_link' })
  t.equal(await verified(app, user.id), true)
  t.equal((await eventsOf(app, user.id)).filter(type => type === 'user.email_verified').length, 1)
  const stored = await app.database.db.select().from(oneTimeLinks)
  t.notOk(JSON.stringify(stored).includes(token))
})

test('a newer link is good instead of the older', async t => {
  const app = await build(t, { variables })
  const { email, headers } = await registered(app)
  const first = await tokenTo(app, email, 'verify-email')
  t.equal((await post(app, '/auth/verify-email/resend', undefined, headers)).statusCode, 204)
  t.equal((await lettersTo(app, email)).length, 1, 'one was sent a moment ago')
  await app.database.db.update(oneTimeLinks).set({ created_at: sql`now() - interval '1 min'` })
  t.equal((await post(app, '/auth/verify-email/resend', undefined, headers)).statusCode, 204)
  const second = await tokenTo(app, email, 'verify-email')
  t.not(second, first)
  t.equal((await post(app, '/auth/verify-email', { token: first })).statusCode, 401)
  t.equal((await post(app, '/auth/verify-email', { token: second })).statusCode, 204)
  t.equal((await post(app, '/auth/verify-email/resend', undefined, headers)).statusCode, 204)
  t.equal((await lettersTo(app, email)).length, 2, 'what is verified needs no other link')
  t.equal((await post(app, '/auth/verify-email/resend')).statusCode, 401)
})

test('a link has its time and its purpose', async t => {
  const app = await build(t, { variables })
  const { email, user } = await registered(app)
  const token = await tokenTo(app, email, 'verify-email')
  const password = 'another good one'
  t.equal((await post(app, '/auth/reset-password', { token, password })).statusCode, 401)
  const { db } = app.database
  await db.update(oneTimeLinks).set({ expires_at: sql`now()` }).where(eq(oneTimeLinks.user_id, user.id))
  t.equal((await post(app, '/auth/verify-email', { token })).statusCode, 401)
  t.equal(await verified(app, user.id), false)
  for (const body of [{}, { token: '' }, { token: 'x'.repeat(1001) }, { token: 'x', more: 1 }]) {
    t.equal((await post(app, '/auth/verify-email', body)).statusCode, 400)
  }
})

test('a forgotten password is replaced, and every session ends', async t => {
  const app = await build(t, { variables })
  const person = await registered(app)
  const { email, user } = person
  for (let failure = 1; failure <= 10; failure++) {
    await post(app, '/auth/login', { email, password: 'forgotten' })
  }
  t.equal((await post(app, '/auth/login', { email, password: person.password })).statusCode, 429)

  t.equal((await askForReset(app, email.toUpperCase())).statusCode, 202)
  const older = await tokenTo(app, email, 'reset-password')
  await askForReset(app, email)
  const token = await tokenTo(app, email, 'reset-password')
  const password = 'battery staple'
  t.equal((await post(app, '/auth/reset-password', { token: older, password })).statusCode, 401)
  const weak = await post(app, '/auth/reset-password', { token, password, password_confirm: 'x' })
  t.match(weak.json(), { status: 400, errors: [{ pointer: '/password_confirm' }] })

  const answers = await Promise.all(
    [1, 2, 3].map(() => post(app, '/auth/reset-password', { token, password })),
  )
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [204, 401, 401])
  t.equal((await app.inject({ url: '/api/v1/auth/sessions', headers: person.headers })).statusCode, 401)
  t.equal((await post(app, '/auth/refresh', { refresh_token: person.refresh_token })).statusCode, 401)
  t.equal((await post(app, '/auth/login', { email, password: person.password })).statusCode, 401)
  t.equal((await post(app, '/auth/login', { email, password })).statusCode, 200, 'and is unlocked')
  t.match((await lettersTo(app, email)).at(-1), { template: 'password-changed', data: { how: 'reset' } })
  t.equal((await eventsOf(app, user.id)).filter(type => type === 'user.password_changed').length, 1)
})

test('whether there is an account is not told, nor to be seen in what is done', async t => {
  const log = recordingLogger()
  const app = await build(t, { variables, logger: log.logger })
  const person = await registered(app)
  const stranger = newcomer()
  const answers = []
  for (const { email } of [person, stranger]) {
    const answer = await post(app, '/auth/forgot-password', { email })
    answers.push([answer.statusCode, answer.body])
  }
  t.strictSame(answers, [
    [202, ''],
    [202, ''],
  ])
  t.equal(await runResetJobs(app), 2, 'the same work for both')
  t.equal((await lettersTo(app, stranger.email)).length, 0)
  t.notOk(log.text().includes(stranger.email))
})

test('without mail in production, what needs it says so', async t => {
  const app = await build(t, {
    variables: {
      ...variables,
      NODE_ENV: 'production',
      DATABASE_URL: 'postgres://nobody@127.0.0.1/nothing',
      JWT_SECRET_KEY: 'Zq8vT2mLw5xR9bNc3hJ7dK1fG4pS6yAe0uWi',
    },
  })
  t.match((await post(app, '/auth/forgot-password', { email: 'a@example.com' })).json(), {
    status: 503,
    code: 'unavailable',
  })
  const { headers } = await registered(app)
  t.equal((await post(app, '/auth/verify-email/resend', undefined, headers)).statusCode, 503)
})

test('a link that lies in the old mailbox is good for nothing once the address has changed', async t => {
  const app = await build(t, { variables })
  const { email, password, headers } = await registered(app)
  await askForReset(app, email)
  const reset = await tokenTo(app, email, 'reset-password')
  const other = newcomer().email
  const put = { method: 'PUT', url: '/api/v1/users/me/email', headers, payload: { email: other, password } }
  t.equal((await app.inject(put as never)).statusCode, 202)
  const token = await tokenTo(app, other, 'change-email')
  t.equal((await post(app, '/auth/verify-email', { token })).statusCode, 204)
  const answer = await post(app, '/auth/reset-password', { token: reset, password: 'battery staple' })
  t.match(answer.json(), { status: 401, code: 'invalid_link' })
  t.equal((await post(app, '/auth/login', { email: other, password })).statusCode, 200)
})

test('links do not outlive a deactivation or a deletion', async t => {
  const app = await build(t, { variables })
  const admin = await aUser(app, 'admin')
  for (const [shut, open] of [
    [
      { method: 'PATCH', payload: { is_active: false } },
      { method: 'PATCH', payload: { is_active: true } },
    ],
    [{ method: 'DELETE' }, { method: 'POST', path: '/restore' }],
  ] as { method: 'PATCH' | 'DELETE' | 'POST'; path?: string; payload?: object }[][]) {
    const { email, user } = await registered(app)
    await askForReset(app, email)
    const token = await tokenTo(app, email, 'reset-password')
    for (const step of [shut, open]) {
      const { method = 'GET', path = '', payload } = step ?? {}
      const url = `/api/v1/users/${user.id}${path}`
      const answer = await app.inject({ method, url, headers: admin.headers, ...(payload && { payload }) })
      t.ok(answer.statusCode < 300, answer.body)
    }
    const answer = await post(app, '/auth/reset-password', { token, password: 'battery staple' })
    t.equal(answer.statusCode, 401)
  }
})

test('what a stranger set up on an address does not outlast the reset by its owner', async t => {
  const app = await build(t, { variables })
  const { email, headers, user } = await registered(app)
  const scopes = ['profile:read']
  const { key } = (await post(app, '/auth/api-keys', { name: 'spy', scopes }, headers)).json()
  const { secret } = (await post(app, '/auth/mfa/totp', undefined, headers)).json()
  await post(app, '/auth/mfa/totp/confirm', { code: new TOTP({ secret }).generate() }, headers)
  const me = { url: '/api/v1/users/me', headers: { 'x-api-key': key } }
  t.match((await app.inject(me)).json(), { mfa_enabled: true, email_verified: false })

  await askForReset(app, email)
  const token = await tokenTo(app, email, 'reset-password')
  const password = 'battery staple'
  t.equal((await post(app, '/auth/reset-password', { token, password })).statusCode, 204)
  t.equal((await app.inject(me)).statusCode, 401)
  const owner = (await post(app, '/auth/login', { email, password })).json()
  t.match(owner.user, { id: user.id, email_verified: true, mfa_enabled: false })

  const kept = (await post(app, '/auth/api-keys', { name: 'own', scopes }, bearer(owner.access_token))).json()
  await askForReset(app, email)
  const again = await tokenTo(app, email, 'reset-password')
  await post(app, '/auth/reset-password', { token: again, password: 'yet another one' })
  const own = await app.inject({ ...me, headers: { 'x-api-key': kept.key } })
  t.equal(own.statusCode, 200, 'of who owns the address, keys stay')
})

test('a link that verifies or changes an e-mail lives for a day, one that resets a password for an hour', async t => {
  const app = await build(t, { variables })
  const { email, password, user, headers } = await registered(app)
  await askForReset(app, email)
  const url = '/api/v1/users/me/email'
  const payload = { email: `new.${email}`, password }
  t.equal((await app.inject({ method: 'PUT', url, headers, payload })).statusCode, 202)
  const links = await app.database.db.select().from(oneTimeLinks).where(eq(oneTimeLinks.user_id, user.id))
  const lives = links.map(({ purpose, created_at, expires_at }) => [
    purpose,
    (expires_at.getTime() - created_at.getTime()) / 3_600_000,
  ])
  t.strictSame(Object.fromEntries(lives), { verify_email: 24, change_email: 24, reset_password: 1 })
  for (const { created_at } of links) t.ok(Math.abs(created_at.getTime() - Date.now()) < 60_000)
  for (const [address, template, purpose] of [
    [email, 'verify-email', 'verify_email'],
    [payload.email, 'change-email', 'change_email'],
    [email, 'reset-password', 'reset_password'],
  ] as const) {
    const letter = (await lettersTo(app, address)).find(each => each.template === template)
    const link = links.find(each => each.purpose === purpose)
    t.equal(letter?.data.expires_at, link?.expires_at.toISOString(), 'the mail says so')
  }
})

test('the mail that asks to verify tells from where somebody registered, not where an administrator is', async t => {
  const app = await build(t, { variables })
  const circumstances = async (address: string) => (await lettersTo(app, address)).at(-1)?.data
  const agent = { 'user-agent': 'planted-agent' }
  const told = { at: /Z$/, ip: '127.0.0.1', user_agent: 'planted-agent' }
  for (const path of ['/auth/register', '/users']) {
    const stranger = newcomer()
    t.equal((await post(app, path, stranger, agent)).statusCode, 201)
    t.match(await circumstances(stranger.email), told, path)
  }
  const nowhere = { at: /Z$/, ip: null, user_agent: null }
  for (const role of ['admin', 'user'] as const) {
    const { headers } = await aUser(app, role)
    const invited = newcomer()
    t.equal((await post(app, '/users', invited, { ...headers, ...agent })).statusCode, 201)
    t.match(await circumstances(invited.email), nowhere, `made by another ${role}`)
  }
  const person = await registered(app)
  await app.database.db
    .update(oneTimeLinks)
    .set({ created_at: sql`now() - interval '1 h'` })
    .where(eq(oneTimeLinks.user_id, person.user.id))
  await post(app, '/auth/verify-email/resend', undefined, { ...person.headers, ...agent })
  t.match(await circumstances(person.email), told, 'asked for again by the user')
})
