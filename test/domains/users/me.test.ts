import { eq } from 'drizzle-orm'
import { test } from 'tap'
import { oneTimeLinks, users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { newId } from '../../../src/lib/id.ts'
import { anotherDatabase } from '../../database.ts'
import { aUser, build, signedIn } from '../../helper.ts'
import { lettersTo, tokenTo } from '../../mail/letters.ts'

const CHEAP = { ARGON2_MEMORY_COST: '8192', ARGON2_TIME_COST: '1' }

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

const me = '/api/v1/users/me'
const password = 'correct horse'

const send = (app: App, method: Method, url: string, token?: string, payload?: object) =>
  app.inject({
    method,
    url,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(payload && { payload }),
  })

const login = async (app: App, email: string, secret = password) =>
  (await send(app, 'POST', '/api/v1/auth/login', undefined, { email, password: secret })).json()

async function registered(app: App) {
  const email = `${newId()}@example.com`
  const person = { email, password, first_name: 'Grace', last_name: 'Hopper' }
  const { access_token, user } = (await send(app, 'POST', '/api/v1/auth/register', undefined, person)).json()
  return { email, token: access_token as string, id: user.id as string }
}

async function eventsOf(app: App, owner_id: string): Promise<string[]> {
  const url = `/api/v1/audit?owner_id=${owner_id}&per_page=100`
  const { data } = (await app.inject({ url, headers: await signedIn(app) })).json()
  return data.map(({ type }: { type: string }) => type).reverse()
}

test('somebody comes, changes everything there is, and goes on', async t => {
  const app = await build(t, { variables: CHEAP })
  const { email, token, id } = await registered(app)
  const other = (await login(app, email)).access_token

  const own = await send(app, 'GET', me, token)
  t.match(own.json(), { id, email, full_name: 'Grace Hopper', role: 'user', email_verified: false })
  t.strictSame(Object.keys(own.json()).sort(), [
    ...['created_at', 'email', 'email_verified', 'first_name', 'full_name', 'id', 'is_active', 'is_admin'],
    ...['last_name', 'mfa_enabled', 'role', 'tier', 'updated_at', 'version'],
  ])
  for (const method of ['PATCH', 'PUT'] as const) {
    const changed = await send(app, method, me, token, { last_name: method })
    t.match(changed.json(), { full_name: `Grace ${method}` })
    t.strictSame(Object.keys(changed.json()), Object.keys(own.json()))
  }

  const new_password = 'battery staple'
  const passwords = { current_password: password, new_password }
  const changed = await send(app, 'PUT', `${me}/password`, token, passwords)
  t.equal(changed.statusCode, 204)
  t.equal(changed.body, '')
  t.equal((await send(app, 'GET', me, other)).statusCode, 401)
  t.equal((await send(app, 'GET', me, token)).statusCode, 200)
  t.match(await login(app, email), { code: 'invalid_credentials' })
  t.match(await login(app, email, new_password), { token_type: 'Bearer' })

  const new_email = `new.${email}`
  const asked = await send(app, 'PUT', `${me}/email`, token, {
    email: new_email.toUpperCase(),
    password: new_password,
  })
  t.equal(asked.statusCode, 202)
  t.equal(asked.body, '')
  t.equal((await send(app, 'GET', me, token)).json().email, email, 'not before the link was followed')
  const link = await tokenTo(app, new_email, 'change-email')
  t.equal((await send(app, 'POST', '/api/v1/auth/verify-email', undefined, { token: link })).statusCode, 204)
  t.match((await send(app, 'GET', me, token)).json(), { email: new_email, email_verified: true })
  t.strictSame(
    (await lettersTo(app, email)).map(({ template }) => template),
    ['verify-email', 'password-changed', 'email-change-requested', 'email-changed'],
  )
  t.strictSame(
    (await eventsOf(app, id)).filter(type => type.startsWith('user.')),
    ['user.created', 'user.updated', 'user.updated', 'user.password_changed', 'user.email_changed'],
  )
})

test('nobody is nobody', async t => {
  const app = await build(t, { variables: CHEAP })
  for (const [method, url, payload] of [
    ['GET', me],
    ['PATCH', me, {}],
    ['PUT', me, {}],
    ['DELETE', me, { password }],
    ['PUT', `${me}/password`, { current_password: password, new_password: 'battery staple' }],
    ['PUT', `${me}/email`, { email: 'x@example.com', password }],
    ['GET', `${me}/activity`],
    ['GET', `${me}/export`],
  ] as const) {
    t.equal((await send(app, method, url, undefined, payload)).statusCode, 401, `${method} ${url}`)
  }
})

test('of oneself, the names are all there is to change', async t => {
  const app = await build(t)
  const { headers } = await aUser(app, 'admin')
  for (const payload of [
    { email: 'x@example.com' },
    { role: 'admin' },
    { is_active: true },
    { first_name: null },
    { first_name: 'x'.repeat(101) },
    { last_name: '' },
  ]) {
    const answer = await app.inject({ method: 'PATCH', url: me, headers, payload })
    t.match(answer.json(), { status: 400, code: 'validation_failed' })
  }
})

test('a password is changed only by who knows it, to one that will do', async t => {
  const app = await build(t, { variables: { ...CHEAP, PASSWORD_BLOCKLIST: 'true' } })
  const { token, email, id } = await registered(app)
  const change = async (current_password: string, new_password: string) =>
    (await send(app, 'PUT', `${me}/password`, token, { current_password, new_password })).json()
  t.match(await change('wrong', 'battery staple'), { status: 401, code: 'invalid_credentials' })
  t.match(await change(password, 'short'), { status: 400, errors: [{ pointer: '/new_password' }] })
  t.match(await change(password, 'password1'), { status: 400, errors: [{ code: 'common_password' }] })
  t.match(await change(password, password), { status: 400, errors: [{ code: 'unchanged' }] })
  t.match(await change('x'.repeat(129), 'battery staple'), { status: 400 })
  t.match(await login(app, email), { token_type: 'Bearer' })
  t.notOk((await eventsOf(app, id)).includes('user.password_changed'))
})

test('a new password voids the links that the old one could have led to', async t => {
  const app = await build(t, { variables: CHEAP })
  const { token, id, email } = await registered(app)
  await send(app, 'PUT', `${me}/email`, token, { email: `thief.${email}`, password })
  const [before] = await app.database.db.select().from(users).where(eq(users.id, id))
  await send(app, 'PUT', `${me}/password`, token, {
    current_password: password,
    new_password: 'battery staple',
  })
  const [after] = await app.database.db.select().from(users).where(eq(users.id, id))
  t.ok(after && before && after.password_changed_at > before.password_changed_at)
  const left = await app.database.db.select().from(oneTimeLinks).where(eq(oneTimeLinks.user_id, id))
  t.match(
    left.map(({ purpose }) => purpose),
    ['verify_email'],
  )
  const link = await tokenTo(app, `thief.${email}`, 'change-email')
  const followed = await send(app, 'POST', '/api/v1/auth/verify-email', undefined, { token: link })
  t.match(followed.json(), { status: 401, code: 'invalid_link' })
})

test('of two changes by the same password, one counts', async t => {
  const app = await build(t, { variables: CHEAP })
  const { token, email, id } = await registered(app)
  const other = (await login(app, email)).access_token
  const answers = await Promise.all(
    [token, other].map((caller, number) => {
      const passwords = { current_password: password, new_password: `battery staple ${number}` }
      return send(app, 'PUT', `${me}/password`, caller, passwords)
    }),
  )
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [204, 401])
  t.equal((await eventsOf(app, id)).filter(type => type === 'user.password_changed').length, 1)
})

test('a new e-mail must be free and another, and takes the password', async t => {
  const app = await build(t, { variables: CHEAP })
  const { token, email, id } = await registered(app)
  const taken = await aUser(app)
  const gone = await aUser(app, 'user', { deleted_at: new Date() })
  const change = (changes: object) =>
    send(app, 'PUT', `${me}/email`, token, { email: `new.${email}`, password, ...changes })
  t.match((await change({ password: 'wrong' })).json(), { status: 401, code: 'invalid_credentials' })
  t.match((await change({ email: taken.email.toUpperCase() })).json(), { status: 409, code: 'email_taken' })
  t.match((await change({ email: email.toUpperCase() })).json(), { errors: [{ code: 'unchanged' }] })
  t.match((await change({ email: 'x' })).json(), { status: 400 })
  t.strictSame(await lettersTo(app, taken.email), [])
  t.equal((await change({ email: gone.email })).statusCode, 202)

  const link = await tokenTo(app, gone.email, 'change-email')
  await app.database.db.update(users).set({ deleted_at: null }).where(eq(users.id, gone.id))
  const followed = await send(app, 'POST', '/api/v1/auth/verify-email', undefined, { token: link })
  t.match(followed.json(), { status: 409, code: 'email_taken' }, 'taken meanwhile')
  t.notOk((await eventsOf(app, id)).includes('user.email_changed'))
})

test('wrong passwords are counted, here too', async t => {
  const app = await build(t, { variables: CHEAP })
  const { token } = await registered(app)
  const attempt = async () => (await send(app, 'DELETE', me, token, { password: 'wrong' })).json()
  for (let count = 0; count < 10; count++) t.match(await attempt(), { code: 'invalid_credentials' })
  t.match(await attempt(), { status: 429, code: 'account_locked' })
  const changes = { current_password: password, new_password: 'battery staple' }
  t.match((await send(app, 'PUT', `${me}/password`, token, changes)).json(), { code: 'account_locked' })
})

test('whoever leaves is signed out everywhere', async t => {
  const app = await build(t, { variables: CHEAP })
  const { token, email, id } = await registered(app)
  const other = (await login(app, email)).access_token
  t.equal((await send(app, 'DELETE', me, token)).statusCode, 400)
  t.match((await send(app, 'DELETE', me, token, { password: 'wrong' })).json(), {
    code: 'invalid_credentials',
  })
  const left = await send(app, 'DELETE', me, token, { password })
  t.equal(left.statusCode, 204)
  t.equal(left.body, '')
  for (const old of [token, other]) t.equal((await send(app, 'GET', me, old)).statusCode, 401)
  t.match(await login(app, email), { status: 401, code: 'account_disabled' })
  t.equal((await eventsOf(app, id)).filter(type => type === 'user.deactivated').length, 1)
  t.equal((await eventsOf(app, id)).includes('session.revoked'), false, 'one change, one event')
})

test('the last administrator cannot leave', async t => {
  const app = await build(t, { variables: CHEAP, database: await anotherDatabase(t) })
  const { token, id } = await registered(app)
  await app.database.db.update(users).set({ role: 'admin' }).where(eq(users.id, id))
  const leave = () => send(app, 'DELETE', me, token, { password })
  t.match((await leave()).json(), { status: 409, code: 'last_admin' })
  t.equal((await send(app, 'GET', me, token)).statusCode, 200)
  await aUser(app, 'admin')
  t.equal((await leave()).statusCode, 204)
})

test('those who are to verify their e-mail can see to it, and read who they are', async t => {
  const app = await build(t, { variables: { ...CHEAP, REQUIRE_VERIFIED_EMAIL: 'true' } })
  const { token, id, email } = await registered(app)
  for (const [method, url, payload, status] of [
    ['GET', me, undefined, 200],
    ['PATCH', me, {}, 200],
    ['GET', `${me}/activity`, undefined, 200],
    ['GET', `${me}/export`, undefined, 200],
    ['PUT', `${me}/email`, { email: `right.${email}`, password }, 202],
    ['GET', `/api/v1/users/${id}`, undefined, 200],
    ['PUT', `/api/v1/users/${id}`, {}, 200],
    ['GET', '/api/v1/auth/api-keys', undefined, 403],
  ] as const) {
    t.equal((await send(app, method, url, token, payload)).statusCode, status, `${method} ${url}`)
  }
})

test('words that are no id are not taken for one', async t => {
  const app = await build(t)
  const { headers } = await aUser(app, 'admin')
  const restored = await app.inject({ method: 'POST', url: `${me}/restore`, headers })
  t.equal(restored.statusCode, 400)
  const posted = await app.inject({ method: 'POST', url: me, headers })
  t.equal(posted.statusCode, 405)
})

test('an administrator sees of oneself what there is to see of others', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app, 'admin', { last_login_at: new Date('2026-01-02T03:04:05.678Z') })
  const shown = (await app.inject({ url: `/api/v1/users/${id}`, headers })).json()
  t.match(shown, { last_login_at: '2026-01-02T03:04:05.678Z', deleted_at: null })
  const own = await app.inject({ url: me, headers })
  t.strictSame(own.json(), shown)
  const changed = await app.inject({ method: 'PATCH', url: me, headers, payload: { first_name: 'Grace' } })
  t.strictSame(Object.keys(changed.json()).sort(), Object.keys(shown).sort())
})

test('a link to a new address is dead after a newer one, to whichever address', async t => {
  const app = await build(t, { variables: CHEAP })
  const { token, email } = await registered(app)
  const ask = (to: string) => send(app, 'PUT', `${me}/email`, token, { email: to, password })
  const follow = async (link: string) =>
    (await send(app, 'POST', '/api/v1/auth/verify-email', undefined, { token: link })).statusCode
  const [first, second] = [`first.${email}`, `second.${email}`]
  const links: string[] = []
  for (const address of [first, second, second]) {
    t.equal((await ask(address)).statusCode, 202)
    links.push(await tokenTo(app, address, 'change-email'))
  }
  t.equal(new Set(links).size, 3)
  const [oldest = '', older = '', newest = ''] = links
  t.strictSame([await follow(oldest), await follow(older)], [401, 401])
  t.equal((await send(app, 'GET', me, token)).json().email, email)
  t.equal(await follow(newest), 204)
  t.equal((await send(app, 'GET', me, token)).json().email, second)
})

test('before the e-mail is verified, oneself is all that may be seen, for administrators too', async t => {
  const app = await build(t, { variables: { REQUIRE_VERIFIED_EMAIL: 'true' } })
  const other = await aUser(app)
  const payload = { first_name: 'Grace' }
  for (const role of ['user', 'admin'] as const) {
    const { id, headers } = await aUser(app, role)
    for (const url of [me, `/api/v1/users/${id}`, `/api/v1/users/${id.toUpperCase()}`]) {
      t.equal((await app.inject({ url, headers })).statusCode, 200, url)
      t.equal((await app.inject({ method: 'PATCH', url, headers, payload })).statusCode, 200, url)
    }
    const refusal = { status: 403, code: role === 'admin' ? 'email_unverified' : 'forbidden' }
    const url = `/api/v1/users/${other.id}`
    t.match((await app.inject({ url, headers })).json(), refusal)
    t.match((await app.inject({ method: 'PATCH', url, headers, payload })).json(), refusal)
    t.match((await app.inject({ method: 'DELETE', url, headers })).json(), refusal)
  }
  const { headers } = await aUser(app, 'admin', { email_verified: true })
  t.equal((await app.inject({ url: `/api/v1/users/${other.id}`, headers })).statusCode, 200)
})
