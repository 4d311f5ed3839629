import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { changeUser } from '../../src/accounts/users.ts'
import type { App } from '../../src/app.ts'
import { allRows } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { CHEAP, eventsOf, newcomer, post, registered } from '../domains/auth/people.ts'
import { keyOf } from '../domains/items/files.ts'
import { aUser, build } from '../helper.ts'
import { isReplay } from './effects.ts'

const origin = 'https://app.example.com'
const open = (t: Parameters<typeof build>[0]) =>
  build(t, { variables: { ...CHEAP, CORS_ORIGINS: origin, REGISTRATION_OPEN: 'true' } })

let count = 0
const newKey = () => ({ 'idempotency-key': `key ${++count}` })

/** What the database holds about keys, as whoever steals it would see it. */
async function stored({ database: { db } }: App): Promise<string> {
  const rows = await allRows(
    db,
    sql`select k::text as row, encode(id, 'escape') as id from idempotency_keys k`,
  )
  return JSON.stringify(rows)
}

test('an account is made once, and its tokens are given again, which nobody can read in the database', async t => {
  const app = await open(t)
  for (const cookie of [false, true]) {
    const person = { ...newcomer(), cookie }
    const headers = newKey()
    const first = await post(app, '/auth/register', person, headers)
    t.equal(first.statusCode, 201)
    if (cookie) t.match(first.headers['set-cookie'], /^__Secure-plinth_refresh=plr_/)
    isReplay(t, first, await post(app, '/auth/register', person, headers))
    const { user, access_token, refresh_token = 'plr_' } = first.json()
    t.strictSame((await eventsOf(app, user.id)).sort(), ['session.created', 'user.created'])
    const text = await stored(app)
    for (const secret of [access_token, refresh_token, person.email, user.id, headers['idempotency-key']]) {
      t.notOk(text.includes(secret))
    }
    const me = { authorization: `Bearer ${access_token}` }
    t.equal((await app.inject({ url: '/api/v1/users/me', headers: me })).statusCode, 200)
  }
})

test('an API key is made once, and given again', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const key = { ...headers, ...newKey() }
  const body = { name: 'x', scopes: ['items:read'] }
  const first = await post(app, '/auth/api-keys', body, key)
  t.equal(first.statusCode, 201)
  t.ok(first.headers.location)
  isReplay(t, first, await post(app, '/auth/api-keys', body, key))
  t.equal((await app.inject({ url: '/api/v1/auth/api-keys', headers })).json().data.length, 1)
  t.notOk((await stored(app)).includes(first.json().key))

  const rotation = { ...headers, ...newKey() }
  const path = `/auth/api-keys/${first.json().id}/rotate`
  isReplay(t, await post(app, path, {}, rotation), await post(app, path, {}, rotation))
})

test('a failed login is counted once, and refused again', async t => {
  const app = await open(t)
  const { email, user } = await registered(app)
  const headers = newKey()
  const wrong = { email, password: 'not the one it is' }
  const first = await post(app, '/auth/login', wrong, headers)
  t.equal(first.statusCode, 401)
  t.equal(first.headers['www-authenticate'], 'Bearer')
  for (let again = 0; again < 10; again++) isReplay(t, first, await post(app, '/auth/login', wrong, headers))
  t.equal((await eventsOf(app, user.id)).filter(type => type === 'login.failed').length, 1)
  t.equal((await post(app, '/auth/login', wrong)).statusCode, 401)
})

test('a lock that is over is not held against a key', async t => {
  const app = await open(t)
  const { email, password } = await registered(app)
  for (let guess = 0; guess < 10; guess++)
    await post(app, '/auth/login', { email, password: `guess ${guess}` })
  const headers = newKey()
  const locked = await post(app, '/auth/login', { email, password }, headers)
  t.equal(locked.statusCode, 429)
  t.ok(Number(locked.headers['retry-after']) > 1)
  await app.database.db.execute(sql`delete from login_failures`)
  const opened = await post(app, '/auth/login', { email, password }, headers)
  t.equal(opened.statusCode, 200)
  isReplay(t, opened, await post(app, '/auth/login', { email, password }, headers))
})

test('an e-mail that was taken stays so for the key', async t => {
  const app = await open(t)
  const { email } = await registered(app)
  const person = { ...newcomer(), email }
  const headers = newKey()
  const first = await post(app, '/users', person, headers)
  t.equal(first.statusCode, 409)
  t.equal(first.json().code, 'email_taken')
  isReplay(t, first, await post(app, '/users', person, headers))
})

test('a refresh is one step, and belongs to the token that was sent, wherever that stood', async t => {
  const app = await open(t)
  const headers = newKey()
  const one = await registered(app)
  const other = await registered(app)
  const refresh = (token: string) =>
    post(app, '/auth/refresh', undefined, { ...headers, authorization: `Bearer ${token}` })
  const first = await refresh(one.refresh_token)
  t.equal(first.statusCode, 200)
  isReplay(t, first, await refresh(one.refresh_token))
  const others = await refresh(other.refresh_token)
  t.equal(others.headers['idempotency-replayed'], undefined)
  t.not(others.json().refresh_token, first.json().refresh_token)

  const cookies = []
  for (const _ of [1, 2]) {
    const answer = await post(app, '/auth/register', { ...newcomer(), cookie: true })
    cookies.push(String(answer.headers['set-cookie']).split(';')[0] ?? '')
  }
  const [mine = '', theirs = ''] = cookies
  const byCookie = (cookie: string, from = origin) =>
    post(app, '/auth/refresh', undefined, { ...headers, cookie, origin: from })
  const refreshed = await byCookie(mine)
  t.equal(refreshed.statusCode, 200)
  isReplay(t, refreshed, await byCookie(`seen=1; ${mine}`))
  t.equal((await byCookie(theirs)).headers['idempotency-replayed'], undefined)
  // The answer holds an access token: where it may be read from is asked before it is given again, too.
  t.equal((await byCookie(mine, 'https://evil.example')).json().code, 'csrf_failed')
})

test('who has signed out is told so again', async t => {
  const app = await open(t)
  const { headers } = await registered(app)
  const key = { ...headers, ...newKey() }
  const first = await post(app, '/auth/logout', undefined, key)
  t.equal(first.statusCode, 204)
  isReplay(t, first, await post(app, '/auth/logout', undefined, key))
  t.equal((await post(app, '/auth/logout', undefined, { ...headers, ...newKey() })).statusCode, 401)
})

test('a sign-out by cookie is not that of somebody else whose token is as bad', async t => {
  const app = await open(t)
  const key = { ...newKey(), authorization: 'Bearer undefined', origin }
  const cookies: string[] = []
  for (let person = 0; person < 2; person++) {
    const answer = await post(app, '/auth/register', { ...newcomer(), cookie: true })
    cookies.push(String(answer.headers['set-cookie']).split(';')[0] ?? '')
  }
  const [mine = '', theirs = ''] = cookies
  const first = await post(app, '/auth/logout', undefined, { ...key, cookie: mine })
  t.equal(first.statusCode, 204)
  isReplay(t, first, await post(app, '/auth/logout', undefined, { ...key, cookie: mine }))
  const other = await post(app, '/auth/logout', undefined, { ...key, cookie: theirs })
  t.equal(other.headers['idempotency-replayed'], undefined)
  const refresh = { cookie: theirs, origin }
  t.equal((await post(app, '/auth/refresh', undefined, refresh)).statusCode, 401, 'the session is over')
})

test('what was answered to an administrator is not for who is none', async t => {
  const app = await open(t)
  const { db } = app.database
  const owner = await aUser(app)
  const admin = await aUser(app, 'admin')
  const item = (await post(app, '/items', { title: 'secret' }, owner.headers)).json()
  const key = newKey()
  const publish = (headers: Record<string, string>) =>
    post(app, `/items/${item.id}/publish`, undefined, { ...headers, ...key })
  const first = await publish(admin.headers)
  t.equal(first.statusCode, 200)
  isReplay(t, first, await publish(admin.headers))
  const apiKey = await keyOf(app, admin.id, ['items:write'])
  t.match((await publish(apiKey)).json(), { status: 422, code: 'idempotency_mismatch' })
  await inTransaction(db, tx => changeUser(tx, app.accounts, systemActor(), admin.id, { role: 'user' }))
  t.match((await publish(admin.headers)).json(), { status: 422, code: 'idempotency_mismatch' })
})

test('the second of two codes, and of two secrets, is the first', async t => {
  const app = await open(t)
  const { headers } = await registered(app)
  const key = { ...headers, ...newKey() }
  const first = await post(app, '/auth/mfa/totp', undefined, key)
  t.equal(first.statusCode, 200)
  isReplay(t, first, await post(app, '/auth/mfa/totp', undefined, key))
  t.notOk((await stored(app)).includes(first.json().secret))
})

test('every POST that changes something keeps its answer', async t => {
  const app = await open(t)
  const { paths } = (await app.inject('/openapi.json')).json()
  for (const [path, { post: operation }] of Object.entries<{ post?: Operation }>(paths)) {
    if (operation === undefined || !path.startsWith('/api/v1/')) continue
    const parameter = operation.parameters?.find(({ name }) => name.toLowerCase() === 'idempotency-key')
    t.match(parameter, { in: 'header', required: false, schema: { minLength: 1, maxLength: 255 } }, path)
    t.match(JSON.stringify(operation.responses), /IdempotencyMismatch.*|idempotency_mismatch/, path)
    t.match(JSON.stringify(operation.responses), /IdempotencyInProgress/, path)
    t.match(JSON.stringify(operation.responses), /"Idempotency-Replayed"/, path)
  }
})

interface Operation {
  parameters?: { name: string; in: string; required?: boolean; schema: object }[]
  responses: object
}
