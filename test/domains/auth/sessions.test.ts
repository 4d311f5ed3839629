import { type Test, test } from 'tap'
import type { App } from '../../../src/app.ts'
import { build } from '../../helper.ts'

const ada = { email: 'Ada@Example.com', password: 'correct horse', first_name: 'Ada', last_name: 'Lovelace' }

let count = 0

/** Nobody else's address, so that the tests of this file can share a database. */
const newcomer = () => ({ ...ada, email: `ada.${++count}@example.com` })

const post = (app: App, path: string, payload: object, token?: string) =>
  app.inject({
    method: 'POST',
    url: `/api/v1/auth/${path}`,
    payload,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  })

const sessionsOf = (app: App, token: string) =>
  app.inject({ url: '/api/v1/auth/sessions', headers: { authorization: `Bearer ${token}` } })

async function registered(t: Test, app: App) {
  const person = newcomer()
  const answer = await post(app, 'register', person)
  t.equal(answer.statusCode, 201, answer.body)
  return { person, ...answer.json() }
}

test('register, list sessions, refresh, log out', async t => {
  const app = await build(t)
  const { access_token, refresh_token, user } = await registered(t, app)
  t.match(user, { full_name: 'Ada Lovelace', role: 'user', is_admin: false, email_verified: false, version: 1 })
  const list = await sessionsOf(app, access_token)
  t.match(list.json(), { data: [{ current: true, ip: '127.0.0.1' }] })

  const refreshed = await post(app, 'refresh', { refresh_token })
  t.equal(refreshed.statusCode, 200, refreshed.body)
  t.not(refreshed.json().refresh_token, refresh_token)

  t.equal((await post(app, 'logout', {}, access_token)).statusCode, 204)
  t.equal((await sessionsOf(app, access_token)).statusCode, 401)
  t.equal((await post(app, 'refresh', refreshed.json())).statusCode, 400)
  t.equal((await post(app, 'refresh', { refresh_token: refreshed.json().refresh_token })).statusCode, 401)
})

test('log in', async t => {
  const app = await build(t)
  const { person } = await registered(t, app)
  const good = await post(app, 'login', { email: person.email.toUpperCase(), password: person.password })
  t.equal(good.statusCode, 200, good.body)
  for (let n = 0; n < 10; n++) {
    const bad = await post(app, 'login', { email: person.email, password: 'wrong' })
    t.match(bad.json(), { status: 401, code: 'invalid_credentials' })
  }
  const locked = await post(app, 'login', { email: person.email, password: person.password })
  t.match(locked.json(), { status: 429, code: 'account_locked' })
  t.equal(locked.headers['retry-after'], '60')
})
