import { test } from 'tap'
import { bearer, CHEAP, newcomer, post } from './domains/auth/people.ts'
import { aUser, build } from './helper.ts'

// The ways that the first users of such a service walk, from their first request to their last.

test('register, log in, read and change oneself, refresh, log out', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = newcomer()
  const { email, password } = person
  t.equal((await post(app, '/auth/register', person)).statusCode, 201)

  const signedIn = (await post(app, '/auth/login', { email, password })).json()
  const headers = bearer(signedIn.access_token)
  const me = { url: '/api/v1/users/me', headers }
  t.match((await app.inject(me)).json(), { email, first_name: 'Ada', version: 1 })
  const changed = await app.inject({ ...me, method: 'PATCH', payload: { first_name: 'Augusta' } })
  t.match(changed.json(), { first_name: 'Augusta', full_name: 'Augusta Lovelace', version: 2 })
  const put = await app.inject({ ...me, method: 'PUT', payload: { last_name: 'King' } })
  t.match(put.json(), { full_name: 'Augusta King', version: 3 })

  const { refresh_token } = signedIn
  const fresh = bearer((await post(app, '/auth/refresh', { refresh_token })).json().access_token)
  t.match((await app.inject({ ...me, headers: fresh })).json(), { full_name: 'Augusta King' })
  t.equal((await post(app, '/auth/logout', undefined, fresh)).statusCode, 204)
  t.match((await app.inject({ ...me, headers: fresh })).json(), { status: 401, code: 'unauthenticated' })
  t.equal((await app.inject(me)).statusCode, 401, 'the token before is of the same session')
})

test('an administrator lists, searches, deactivates and deletes', async t => {
  const app = await build(t, { variables: CHEAP })
  const admin = await aUser(app, 'admin')
  const person = { ...newcomer(), last_name: 'Byron%Noel' }
  const { user, access_token } = (await post(app, '/auth/register', person)).json()
  const list = async (query: string) =>
    (await app.inject({ url: `/api/v1/users?${query}`, headers: admin.headers })).json()
  const ids = async (query: string) => (await list(query)).data.map(({ id }: { id: string }) => id)

  t.ok((await ids('')).includes(user.id))
  t.strictSame(await ids('search=BYRON%25n'), [user.id])
  t.strictSame(await ids('search=byron_noel'), [], 'a wildcard is a letter like any other')

  const url = `/api/v1/users/${user.id}`
  const off = await app.inject({
    method: 'PATCH',
    url,
    headers: admin.headers,
    payload: { is_active: false },
  })
  t.match(off.json(), { id: user.id, is_active: false, version: 2 })
  t.equal((await app.inject({ url: '/api/v1/users/me', headers: bearer(access_token) })).statusCode, 401)
  const { email, password } = person
  t.match((await post(app, '/auth/login', { email, password })).json(), { code: 'account_disabled' })
  t.strictSame(await ids('search=byron'), [])
  t.strictSame(await ids('search=byron&active_only=false'), [user.id])

  t.equal((await app.inject({ method: 'DELETE', url, headers: admin.headers })).statusCode, 204)
  t.strictSame(await ids('search=byron&active_only=false'), [])
  t.match((await post(app, '/auth/login', { email, password })).json(), { code: 'invalid_credentials' })
})

test('a wrong password, and no token at all', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = newcomer()
  await post(app, '/auth/register', person)
  const wrong = await post(app, '/auth/login', { email: person.email, password: 'not this one' })
  t.match(wrong.json(), { status: 401, code: 'invalid_credentials', detail: 'Invalid email or password' })
  t.match((await app.inject('/api/v1/users/me')).json(), { status: 401, code: 'unauthenticated' })
  t.match((await app.inject('/api/v1/users')).json(), { status: 401, code: 'unauthenticated' })
})
