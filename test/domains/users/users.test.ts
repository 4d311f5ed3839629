import { eq, sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { newApiKey } from '../../../src/accounts/api-key-format.ts'
import { purgeUsers } from '../../../src/accounts/jobs.ts'
import {
  apiKeys,
  devices,
  oneTimeLinks,
  recoveryCodes,
  sessions,
  users,
} from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { items } from '../../../src/domains/items/tables.ts'
import { posts } from '../../../src/domains/posts/tables.ts'
import type { JobContext } from '../../../src/jobs/job.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { sha256 } from '../../../src/lib/opaque.ts'
import { anotherDatabase } from '../../database.ts'
import { aUser, build, recordingLogger, signedIn } from '../../helper.ts'
import { lettersTo, tokenTo } from '../../mail/letters.ts'

const CHEAP = { ARGON2_MEMORY_COST: '8192', ARGON2_TIME_COST: '1' }

type Headers = Record<string, string>
type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

const path = '/api/v1/users'
const nobody = `${path}/01a1fe6d-2985-7239-9535-76034f419dc5`

const send = (app: App, method: Method, url: string, headers: Headers = {}, payload?: object) =>
  app.inject({ method, url, headers, ...(payload && { payload }) })

const newcomer = (fields: object = {}) => ({
  email: `${newId()}@Example.com`,
  password: 'correct horse',
  first_name: 'Grace',
  last_name: 'Hopper',
  ...fields,
})

const shown = [
  ...['created_at', 'email', 'email_verified', 'first_name', 'full_name', 'id', 'is_active', 'is_admin'],
  ...['last_name', 'mfa_enabled', 'role', 'tier', 'updated_at', 'version'],
]
const shownToAdmins = [...shown, 'deleted_at', 'last_login_at'].sort()

const fieldsOf = (answer: { json(): object }) => Object.keys(answer.json()).sort()

/** What happened to a user, oldest first: types, and changes by field. */
async function eventsOf(app: App, subject_id: string): Promise<[string, Record<string, unknown>][]> {
  const url = `/api/v1/audit?subject_id=${subject_id}&type=user.*&per_page=100`
  const { data } = (await send(app, 'GET', url, await signedIn(app))).json()
  return data.map(({ type, changes }: { type: string; changes: object }) => [type, changes]).reverse()
}

/** A database of its own, because who is the last administrator depends on all users. */
const alone = async (t: Test, variables = {}) => build(t, { database: await anotherDatabase(t), variables })

test('anybody makes an account, which is not signed in', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = newcomer({ password_confirm: 'correct horse' })
  const answer = await send(app, 'POST', path, {}, person)
  t.equal(answer.statusCode, 201, answer.body)
  const user = answer.json()
  t.equal(answer.headers.location, `${path}/${user.id}`)
  t.strictSame(fieldsOf(answer), shown)
  t.match(user, {
    email: person.email.toLowerCase(),
    full_name: 'Grace Hopper',
    role: 'user',
    is_admin: false,
    is_active: true,
    tier: 'standard',
    email_verified: false,
    version: 1,
  })
  t.notMatch(answer.body, /hash|secret|token|correct horse/)
  t.match(await eventsOf(app, user.id), [
    ['user.created', { email: [null, user.email], role: [null, 'user'] }],
  ])
  t.equal((await eventsOf(app, user.id)).length, 1)
  t.match(await lettersTo(app, user.email), [{ template: 'verify-email' }])
  const login = await send(
    app,
    'POST',
    '/api/v1/auth/login',
    {},
    { email: user.email, password: 'correct horse' },
  )
  t.equal(login.statusCode, 200)
})

test('an account that is not valid, or taken, is not made', async t => {
  const app = await build(t, { variables: CHEAP })
  const problem = async (fields: object) => (await send(app, 'POST', path, {}, newcomer(fields))).json()
  for (const fields of [
    { email: 'x' },
    { email: `${'x'.repeat(250)}@example.com` },
    { password: 'short' },
    { password: 'x'.repeat(129) },
    { password_confirm: 'another one' },
    { first_name: '' },
    { first_name: ' ' },
    { last_name: 'x'.repeat(101) },
    { last_name: null },
    { email_verified: true },
    { id: newId() },
  ]) {
    t.match(await problem(fields), { status: 400, code: 'validation_failed' }, JSON.stringify(fields))
  }
  const { email } = await aUser(app)
  t.match(await problem({ email: email.toUpperCase() }), { status: 409, code: 'email_taken' })
  const bad = await send(app, 'POST', path, { authorization: 'Bearer x' }, newcomer())
  t.equal(bad.statusCode, 401)
})

test('only an administrator makes accounts of another kind, also while registration is closed', async t => {
  const app = await build(t, { variables: CHEAP })
  const closed = await build(t, { variables: { ...CHEAP, REGISTRATION_OPEN: 'false' } })
  const admin = await signedIn(app)
  const special = { role: 'editor', is_active: false, tier: 'premium' }
  for (const [field, value] of Object.entries(special)) {
    for (const headers of [{}, await signedIn(app, 'user'), await signedIn(app, 'editor')]) {
      const answer = await send(app, 'POST', path, headers, newcomer({ [field]: value }))
      t.match(answer.json(), { status: 403, code: 'forbidden' })
    }
  }
  t.match((await send(closed, 'POST', path, {}, newcomer())).json(), {
    status: 403,
    code: 'registration_closed',
  })
  const made = await send(closed, 'POST', path, admin, newcomer(special))
  t.equal(made.statusCode, 201, made.body)
  t.match(made.json(), special)
  t.strictSame(fieldsOf(made), shownToAdmins)
  t.match(await eventsOf(app, made.json().id), [['user.created', { role: [null, 'editor'] }]])
})

test('users see themselves, administrators everybody', async t => {
  const app = await build(t)
  const [user, other] = [await aUser(app), await aUser(app)]
  const admin = await signedIn(app)
  const own = await send(app, 'GET', `${path}/${user.id}`, user.headers)
  t.equal(own.statusCode, 200)
  t.strictSame(fieldsOf(own), shown)
  const seen = await send(app, 'GET', `${path}/${user.id}`, admin)
  t.strictSame(fieldsOf(seen), shownToAdmins)
  t.notMatch(own.body + seen.body, /hash|secret/)

  t.equal((await send(app, 'GET', `${path}/${user.id}`)).statusCode, 401)
  for (const headers of [other.headers, await signedIn(app, 'editor')]) {
    t.match((await send(app, 'GET', `${path}/${user.id}`, headers)).json(), {
      status: 403,
      code: 'forbidden',
    })
  }
  t.equal((await send(app, 'GET', nobody, user.headers)).statusCode, 403, 'no way to find out who is there')
  t.match((await send(app, 'GET', nobody, admin)).json(), { status: 404, code: 'not_found' })
  t.equal((await send(app, 'GET', `${path}/x`, admin)).statusCode, 400)
})

test('an API key reaches its owner and nobody else, also if that is an administrator', async t => {
  const app = await build(t, { variables: CHEAP })
  const admin = await aUser(app, 'admin')
  const other = await aUser(app)
  const key = newApiKey()
  await app.database.db.insert(apiKeys).values({
    user_id: admin.id,
    name: 'Planted',
    prefix: 'plk_',
    key_hash: sha256(key),
    scopes: ['profile:read'],
  })
  const headers = { 'x-api-key': key }
  for (const url of [`${path}/me`, `${path}/${admin.id}`]) {
    const own = await send(app, 'GET', url, headers)
    t.equal(own.json().id, admin.id)
    t.strictSame(fieldsOf(own), shown)
  }
  for (const [method, url] of [
    ['GET', path],
    ['GET', `${path}/${other.id}`],
    ['PATCH', `${path}/${other.id}`],
    ['DELETE', `${path}/${other.id}`],
    ['POST', `${path}/${other.id}/restore`],
    ['GET', `${path}/me/export`],
  ] as const) {
    t.match((await send(app, method, url, headers, method === 'PATCH' ? {} : undefined)).json(), {
      status: 403,
    })
  }
  const made = await send(app, 'POST', path, headers, newcomer({ role: 'admin' }))
  t.match(made.json(), { status: 403, code: 'forbidden' })
})

test('users change their names, and nothing that administrators decide', async t => {
  const app = await build(t)
  const user = await aUser(app)
  const url = `${path}/${user.id}`
  for (const method of ['PATCH', 'PUT'] as const) {
    const answer = await send(app, method, url, user.headers, { first_name: method })
    t.equal(answer.statusCode, 200)
    t.match(answer.json(), { first_name: method, full_name: `${method} Lovelace` })
    t.strictSame(fieldsOf(answer), shown)
  }
  t.equal((await send(app, 'PATCH', url, user.headers, { first_name: 'PUT' })).json().version, 3, 'no change')
  t.equal((await send(app, 'PATCH', url, user.headers, {})).json().version, 3)
  for (const changes of [
    { email: 'other@example.com' },
    { role: 'user' },
    { is_active: true },
    { tier: 'premium', first_name: 'X' },
  ]) {
    t.match((await send(app, 'PATCH', url, user.headers, changes)).json(), { status: 403, code: 'forbidden' })
  }
  for (const changes of [{ first_name: null }, { first_name: '' }, { full_name: 'X' }, { id: user.id }]) {
    t.match((await send(app, 'PATCH', url, user.headers, changes)).json(), { status: 400 })
  }
  t.equal((await send(app, 'PATCH', url, {}, {})).statusCode, 401)
  t.equal((await send(app, 'PATCH', url, (await aUser(app)).headers, {})).statusCode, 403)
  t.strictSame(await eventsOf(app, user.id), [
    ['user.updated', { first_name: ['Ada', 'PATCH'] }],
    ['user.updated', { first_name: ['PATCH', 'PUT'] }],
  ])
})

test('an administrator changes everything, one event each', async t => {
  const app = await build(t)
  const user = await aUser(app)
  const url = `${path}/${user.id}`
  const admin = await signedIn(app)
  const change = (changes: object) => send(app, 'PATCH', url, admin, changes)
  t.strictSame(fieldsOf(await change({ tier: 'premium' })), shownToAdmins)
  t.match((await change({ role: 'editor', last_name: 'King' })).json(), {
    role: 'editor',
    full_name: 'Ada King',
  })
  t.match((await change({ is_active: false })).json(), { is_active: false })
  t.match((await change({ is_active: true })).json(), { is_active: true, version: 5 })
  t.strictSame(await eventsOf(app, user.id), [
    ['user.updated', { tier: ['standard', 'premium'] }],
    ['user.role_changed', { role: ['user', 'editor'], last_name: ['Lovelace', 'King'] }],
    ['user.deactivated', { is_active: [true, false] }],
    ['user.updated', { is_active: [false, true] }],
  ])
  const { email } = await aUser(app)
  t.match((await change({ email: email.toUpperCase() })).json(), { status: 409, code: 'email_taken' })
  for (const changes of [{ role: 'root' }, { is_active: 'yes' }, { tier: null }, { email: 'x' }]) {
    t.match((await change(changes)).json(), { status: 400, code: 'validation_failed' })
  }
  t.match((await send(app, 'PATCH', nobody, admin, {})).json(), { status: 404 })
})

test('an e-mail that an administrator sets is to be verified, and the old address is told', async t => {
  const app = await build(t, { variables: CHEAP })
  const user = await aUser(app, 'user', { email_verified: true })
  const reset = { user_id: user.id, purpose: 'reset_password', email: user.email } as const
  await app.database.db
    .insert(oneTimeLinks)
    .values({ ...reset, token_hash: Buffer.from('planted'), expires_at: new Date(Date.now() + 60_000) })
  const admin = await signedIn(app)
  const email = `New.${user.email}`
  const answer = await send(app, 'PATCH', `${path}/${user.id}`, admin, { email })
  t.match(answer.json(), { email: email.toLowerCase(), email_verified: false })
  t.strictSame(await eventsOf(app, user.id), [
    ['user.email_changed', { email: [user.email, email.toLowerCase()], email_verified: [true, false] }],
  ])
  t.match(await lettersTo(app, user.email), [
    { template: 'email-changed', data: { new_email: email.toLowerCase(), ip: null, user_agent: null } },
  ])
  const links = await app.database.db.select().from(oneTimeLinks).where(eq(oneTimeLinks.user_id, user.id))
  t.match(
    links.map(({ purpose }) => purpose),
    ['verify_email'],
    'what was mailed to the old address is void',
  )
  const token = await tokenTo(app, email.toLowerCase(), 'verify-email')
  t.equal((await send(app, 'POST', '/api/v1/auth/verify-email', {}, { token })).statusCode, 204)
  t.equal((await send(app, 'GET', `${path}/${user.id}`, admin)).json().email_verified, true)
  const same = await send(app, 'PATCH', `${path}/${user.id}`, admin, { email: email.toUpperCase() })
  t.match(same.json(), { email_verified: true }, 'in another case it is the same')
})

test('whoever is deactivated is out with the next request', async t => {
  const app = await build(t, { variables: CHEAP })
  const admin = await signedIn(app)
  const person = newcomer()
  const { id, email } = (await send(app, 'POST', path, {}, person)).json()
  const login = () => send(app, 'POST', '/api/v1/auth/login', {}, { email, password: person.password })
  const headers = { authorization: `Bearer ${(await login()).json().access_token}` }
  t.equal((await send(app, 'GET', `${path}/me`, headers)).statusCode, 200)
  await send(app, 'PATCH', `${path}/${id.toUpperCase()}`, admin, { is_active: false })
  t.equal((await send(app, 'GET', `${path}/me`, headers)).statusCode, 401)
  t.match((await login()).json(), { status: 401, code: 'account_disabled' })
  await send(app, 'PATCH', `${path}/${id}`, admin, { is_active: true })
  t.equal((await send(app, 'GET', `${path}/me`, headers)).statusCode, 401, 'the session is not back')
  t.equal((await login()).statusCode, 200)
})

test('another role counts from the next request on, with the old token', async t => {
  const app = await build(t)
  const admin = await signedIn(app)
  const user = await aRememberedUser(app)
  t.equal(await mayList(app, user.headers), 403)
  await send(app, 'PATCH', `${path}/${user.id}`, admin, { role: 'admin' })
  t.equal(await mayList(app, user.headers), 200)
  await send(app, 'PATCH', `${path}/${user.id.toUpperCase()}`, admin, { role: 'user' })
  t.equal(await mayList(app, user.headers), 403)
})

const mayList = async (app: App, headers: Headers) => (await send(app, 'GET', path, headers)).statusCode

/** One whom the process knows without asking the database, which it does as soon as it hears of changes. */
async function aRememberedUser(app: App) {
  const setRole = (id: string, role: 'user' | 'admin') =>
    app.database.db.update(users).set({ role }).where(eq(users.id, id))
  for (;;) {
    const user = await aUser(app)
    await mayList(app, user.headers)
    await setRole(user.id, 'admin')
    const remembered = (await mayList(app, user.headers)) === 403
    await setRole(user.id, 'user')
    if (remembered) return user
  }
}

test('the last active administrator stays', async t => {
  const app = await alone(t)
  const { id, headers } = await aUser(app, 'admin')
  await aUser(app, 'admin', { is_active: false })
  await aUser(app, 'admin', { deleted_at: new Date() })
  await aUser(app, 'editor')
  const last = { status: 409, code: 'last_admin' }
  for (const url of [`${path}/${id}`, `${path}/${id.toUpperCase()}`]) {
    t.match((await send(app, 'PATCH', url, headers, { role: 'user' })).json(), last)
    t.match((await send(app, 'PUT', url, headers, { is_active: false, first_name: 'X' })).json(), last)
    t.match((await send(app, 'DELETE', url, headers)).json(), last)
  }
  t.match((await send(app, 'GET', `${path}/${id}`, headers)).json(), { role: 'admin', version: 1 })
  t.equal((await send(app, 'PATCH', `${path}/${id}`, headers, { role: 'admin' })).statusCode, 200)
  await aUser(app, 'admin')
  t.equal((await send(app, 'DELETE', `${path}/${id}`, headers)).statusCode, 204, 'one of two may go')
})

const removals: Record<string, [Method, object?]> = {
  demote: ['PATCH', { role: 'user' }],
  deactivate: ['PATCH', { is_active: false }],
  delete: ['DELETE'],
}

test('of two administrators who remove each other at once, one stays', async t => {
  const app = await alone(t)
  const { db } = app.database
  let raced = 0
  for (let round = 0; round < 10; round++) {
    for (const [name, [method, payload]] of Object.entries(removals)) {
      await db.update(users).set({ role: 'user' })
      const [one, other] = [await aUser(app, 'admin'), await aUser(app, 'admin')]
      const answers = await Promise.all([
        send(app, method, `${path}/${other.id}`, one.headers, payload),
        send(app, method, `${path}/${one.id}`, other.headers, payload),
      ])
      const codes = answers.map(({ statusCode }) => statusCode).sort()
      // Whoever asks after the other is through is no administrator any more.
      t.ok(codes[0] === 200 || codes[0] === 204, `${name}: ${codes}`)
      t.ok([401, 403, 409].includes(codes[1] ?? 0), `${name}: ${codes}`)
      if (codes[1] === 409) raced++
      const left = await db.$count(users, sql`role = 'admin' and is_active and deleted_at is null`)
      t.equal(left, 1, name)
    }
  }
  t.ok(raced > 20, 'most came at the same time')
})

test('a deleted user is gone, and comes back whole', async t => {
  const app = await build(t, { variables: CHEAP })
  const admin = await signedIn(app)
  const person = newcomer()
  const { id, email } = (await send(app, 'POST', path, {}, person)).json()
  const login = () => send(app, 'POST', '/api/v1/auth/login', {}, { email, password: person.password })
  const headers = { authorization: `Bearer ${(await login()).json().access_token}` }
  const key = newApiKey()
  const stored = { name: 'Planted', prefix: 'plk_', key_hash: sha256(key), scopes: ['profile:read' as const] }
  await app.database.db.insert(apiKeys).values({ user_id: id, ...stored })
  const byKey = () => send(app, 'GET', `${path}/me`, { 'x-api-key': key })
  t.equal((await byKey()).statusCode, 200)

  t.equal((await send(app, 'DELETE', `${path}/${id}`, headers)).statusCode, 403)
  const deleted = await send(app, 'DELETE', `${path}/${id}`, admin)
  t.equal(deleted.statusCode, 204)
  t.equal(deleted.body, '')
  t.match((await send(app, 'DELETE', `${path}/${id}`, admin)).json(), { status: 404 })
  t.match((await send(app, 'PATCH', `${path}/${id}`, admin, {})).json(), { status: 404 })
  t.equal((await send(app, 'GET', `${path}/me`, headers)).statusCode, 401)
  t.equal((await byKey()).statusCode, 401)
  t.match((await login()).json(), { code: 'invalid_credentials' }, 'as if there had never been one')
  t.match((await send(app, 'GET', `${path}/${id}`, admin)).json(), { deleted_at: /Z$/ })

  t.equal((await send(app, 'POST', `${path}/${id}/restore`, headers)).statusCode, 401)
  t.equal((await send(app, 'POST', `${path}/${id}/restore`, await signedIn(app, 'editor'))).statusCode, 403)
  const restored = await send(app, 'POST', `${path}/${id}/restore`, admin)
  t.equal(restored.statusCode, 200)
  t.strictSame(fieldsOf(restored), shownToAdmins)
  t.match(restored.json(), { id, email, deleted_at: null, version: 3 })
  t.match((await send(app, 'POST', `${path}/${id}/restore`, admin)).json(), { status: 404 })
  t.match((await send(app, 'POST', `${nobody}/restore`, admin)).json(), { status: 404 })
  t.equal((await login()).statusCode, 200)
  t.equal((await byKey()).statusCode, 200)
  t.strictSame(
    (await eventsOf(app, id)).map(([type]) => type),
    ['user.created', 'user.deleted', 'user.restored'],
  )
})

test('the e-mail of a deleted user is free, and then its owner cannot come back', async t => {
  const app = await build(t, { variables: CHEAP })
  const admin = await signedIn(app)
  const first = await aUser(app)
  await send(app, 'DELETE', `${path}/${first.id}`, admin)
  const second = await send(app, 'POST', path, {}, newcomer({ email: first.email }))
  t.equal(second.statusCode, 201)
  const restore = () => send(app, 'POST', `${path}/${first.id}/restore`, admin)
  t.match((await restore()).json(), { status: 409, code: 'email_taken' })
  t.match((await send(app, 'GET', `${path}/${first.id}`, admin)).json(), { deleted_at: /Z$/ })
  await send(app, 'DELETE', `${path}/${second.json().id}`, admin)
  t.equal((await restore()).statusCode, 200)
  t.strictSame(
    (await eventsOf(app, first.id)).map(([type]) => type),
    ['user.deleted', 'user.restored'],
  )
})

test('what was deleted long enough ago is removed, with all that belongs to it', async t => {
  const app = await alone(t, { PURGE_AFTER_DAYS: '30' })
  const { db } = app.database
  const admin = await signedIn(app)
  const [old, recent, living] = [await aUser(app), await aUser(app), await aUser(app)]
  for (const { id } of [old, recent]) await send(app, 'DELETE', `${path}/${id}`, admin)
  const ago = (days: number) => sql`now() - ${days} * interval '1 d'`
  await db
    .update(users)
    .set({ deleted_at: ago(30.01) })
    .where(eq(users.id, old.id))
  await db
    .update(users)
    .set({ deleted_at: ago(29.99) })
    .where(eq(users.id, recent.id))
  const owned = [sessions, apiKeys, oneTimeLinks, recoveryCodes, devices]
  for (const { id: user_id } of [old, recent, living]) await leaveTraces(app, user_id)
  const traces = async (user_id: string) => {
    const counts = await Promise.all(owned.map(table => db.$count(table, eq(table.user_id, user_id))))
    return counts.filter(count => count > 0).length
  }
  t.equal(await traces(old.id), 5)

  await purge(app)
  t.equal((await send(app, 'GET', `${path}/${old.id}`, admin)).statusCode, 404)
  t.equal(await traces(old.id), 0)
  for (const { id } of [recent, living]) {
    t.equal((await send(app, 'GET', `${path}/${id}`, admin)).statusCode, 200)
    t.equal(await traces(id), 5)
  }
  const events = await eventsOf(app, old.id)
  t.strictSame(
    events.map(([type]) => type),
    ['user.deleted', 'user.purged'],
  )
  t.strictSame(events[1]?.[1], {})
})

async function purge({ accounts, database }: App) {
  const { logger } = recordingLogger()
  const { signal } = new AbortController()
  const context = { config: accounts.config, database, logger, actor: systemActor(), signal }
  await purgeUsers.run({}, context as unknown as JobContext)
}

async function leaveTraces({ database: { db } }: App, user_id: string) {
  const expires_at = new Date(Date.now() + 60_000)
  const bytes = sha256(user_id)
  await db.insert(sessions).values({ user_id, secret_hash: bytes, expires_at })
  await db.insert(apiKeys).values({ user_id, name: 'K', prefix: 'plk_', key_hash: bytes, scopes: [] })
  const link = { user_id, purpose: 'verify_email', email: 'x@example.com' } as const
  await db.insert(oneTimeLinks).values({ ...link, token_hash: bytes, expires_at })
  await db.insert(recoveryCodes).values({ user_id, code_hash: bytes })
  await db.insert(devices).values({ user_id, fingerprint: bytes })
}

test('several changes at once are one event, called after what weighs most, and it shows them all', async t => {
  const app = await build(t)
  const admin = await signedIn(app)
  const changes = {
    is_active: [{ is_active: false }, { is_active: [true, false] }],
    role: [{ role: 'editor' }, { role: ['user', 'editor'] }],
    email: [{}, {}],
    last_name: [{ last_name: 'King' }, { last_name: ['Lovelace', 'King'] }],
  } as const
  for (const [type, fields] of [
    ['user.deactivated', ['is_active', 'role', 'email', 'last_name']],
    ['user.deactivated', ['is_active', 'role']],
    ['user.deactivated', ['is_active', 'email']],
    ['user.role_changed', ['role', 'email', 'last_name']],
    ['user.email_changed', ['email', 'last_name']],
    ['user.updated', ['last_name']],
  ] as const) {
    const user = await aUser(app)
    const email = `new.${user.email}`
    const withEmail = fields.some(field => field === 'email')
    const payload = Object.assign({}, ...fields.map(field => changes[field][0]), withEmail && { email })
    const shown = Object.assign(
      {},
      ...fields.map(field => changes[field][1]),
      withEmail && { email: [user.email, email] },
    )
    const answer = await send(app, 'PATCH', `${path}/${user.id}`, admin, payload)
    t.equal(answer.statusCode, 200)
    t.match(answer.json(), { ...payload, version: 2 })
    t.strictSame(await eventsOf(app, user.id), [[type, shown]], fields.join())
    const session = await send(app, 'GET', `${path}/me`, user.headers)
    t.equal(session.statusCode, type === 'user.deactivated' ? 401 : 200)
  }
})

test('items and posts go with their user, and not before', async t => {
  const app = await alone(t, { PURGE_AFTER_DAYS: '30' })
  const { db } = app.database
  const admin = await signedIn(app)
  const [old, restored, living] = [await aUser(app), await aUser(app), await aUser(app)]
  for (const { id } of [old, restored, living]) {
    await db.insert(items).values([
      { user_id: id, title: 'Kept' },
      { user_id: id, title: 'Deleted', deleted_at: new Date() },
    ])
    await db.insert(posts).values({ author_id: id, title: 'Kept', content: 'x' })
  }
  const held = async ({ id }: { id: string }) => [
    await db.$count(items, eq(items.user_id, id)),
    await db.$count(posts, eq(posts.author_id, id)),
  ]
  for (const { id } of [old, restored]) {
    t.equal((await send(app, 'DELETE', `${path}/${id}`, admin)).statusCode, 204)
  }
  await db
    .update(users)
    .set({ deleted_at: sql`now() - interval '31 d'` })
    .where(sql`${users.deleted_at} is not null`)
  for (const user of [old, restored]) t.strictSame(await held(user), [2, 1], 'they can still come back')
  t.equal((await send(app, 'POST', `${path}/${restored.id}/restore`, admin)).statusCode, 200)
  await purge(app)
  t.equal((await send(app, 'GET', `${path}/${old.id}`, admin)).statusCode, 404)
  t.strictSame(await held(old), [0, 0])
  for (const user of [restored, living]) t.strictSame(await held(user), [2, 1])
})
