import { type Test, test } from 'tap'
import type { App } from '../../../src/app.ts'
import { newId } from '../../../src/lib/id.ts'
import { anotherDatabase } from '../../database.ts'
import { aUser, build, signedIn } from '../../helper.ts'
import { bearer, CHEAP, newcomer, registered } from '../auth/people.ts'

type Headers = Record<string, string>
type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

const path = '/api/v1/users'

const send = (app: App, method: Method, url: string, headers: Headers, payload?: object) =>
  app.inject({ method, url: `${path}${url}`, headers, ...(payload && { payload }) })

const etagOf = ({ id }: { id: string }, version: number) => `"${id}-${version}"`

/** How many answers there are of each status. */
function counted(answers: { statusCode: number }[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { statusCode } of answers) counts[statusCode] = (counts[statusCode] ?? 0) + 1
  return counts
}

async function versionOf(app: App, id: string): Promise<number> {
  return (await send(app, 'GET', `/${id}`, await signedIn(app))).json().version
}

test('each answer that is a user says which version', async t => {
  const app = await build(t, { variables: CHEAP })
  const admin = await signedIn(app)
  const user = await aUser(app)
  const own = user.headers
  let version = 1
  const is = async (method: Method, url: string, headers: Headers, payload?: object) => {
    const answer = await send(app, method, url, headers, payload)
    t.equal(answer.statusCode, 200, `${method} ${url} ${answer.body}`)
    // Administrators see what changes without a version, which the tag tells besides.
    const version_tag = String(answer.headers.etag).replace(/-[\w-]{12}"$/, '"')
    t.equal(version_tag, etagOf(user, version), `${method} ${url}`)
    if (method !== 'HEAD') t.equal(answer.json().version, version)
  }
  await is('GET', '/me', own)
  await is('HEAD', '/me', own)
  await is('GET', `/${user.id}`, own)
  await is('GET', `/${user.id.toUpperCase()}`, admin)
  version++
  await is('PATCH', '/me', own, { first_name: 'Augusta' })
  await is('PATCH', '/me', own, { first_name: 'Augusta' })
  version++
  await is('PUT', '/me', own, { last_name: 'King' })
  version++
  await is('PATCH', `/${user.id}`, admin, { tier: 'premium' })
  version++
  await is('PUT', `/${user.id}`, admin, { role: 'editor' })
  const deleted = await send(app, 'DELETE', `/${user.id}`, admin)
  t.equal(deleted.statusCode, 204)
  t.notOk('etag' in deleted.headers)
  version++
  await is('GET', `/${user.id}`, admin)
  version++
  await is('POST', `/${user.id}/restore`, admin)

  const created = await send(app, 'POST', '', {}, newcomer())
  t.equal(created.headers.etag, etagOf(created.json(), 1))
  t.ok(created.headers.location)
  t.match((await send(app, 'GET', '', admin)).headers.etag, /^"[\w-]{22}"$/, 'a list has no version')
  t.notOk('etag' in (await send(app, 'GET', '/me', {})).headers)
})

test('what an administrator sees has a tag of its own, with which the user may be changed', async t => {
  const app = await build(t, { variables: CHEAP })
  const admin = await signedIn(app)
  const person = await registered(app)
  const url = `/${person.user.id}`
  const before = String((await send(app, 'GET', url, admin)).headers.etag)
  t.not((await send(app, 'GET', url, person.headers)).headers.etag, before)
  t.equal((await send(app, 'GET', url, { ...admin, 'if-none-match': before })).statusCode, 304)
  const { email, password } = person
  await app.inject({ method: 'POST', url: '/api/v1/auth/login', payload: { email, password } })
  const after = await send(app, 'GET', url, { ...admin, 'if-none-match': before })
  t.equal(after.statusCode, 200, 'the time of the last login is another')
  const change = { ...admin, 'if-match': before }
  t.equal((await send(app, 'PATCH', url, change, { tier: 'premium' })).statusCode, 200)
  t.equal((await send(app, 'PATCH', url, change, { tier: 'standard' })).statusCode, 412)
})

test('who has the version is told so, and a change ends that', async t => {
  const app = await build(t)
  const user = await aUser(app)
  const condition = { ...user.headers, 'if-none-match': etagOf(user, 1) }
  for (const url of ['/me', `/${user.id}`]) {
    const answer = await send(app, 'GET', url, condition)
    t.equal(answer.statusCode, 304)
    t.equal(answer.body, '')
    t.equal(answer.headers.etag, etagOf(user, 1))
    t.equal(answer.headers['cache-control'], 'private, no-store')
    t.notOk('content-type' in answer.headers)
  }
  t.equal((await send(app, 'GET', '/me', { 'if-none-match': '*' })).statusCode, 401)
  const stranger = await aUser(app)
  const theirs = await send(app, 'GET', `/${user.id}`, { ...condition, ...stranger.headers })
  t.equal(theirs.statusCode, 403, 'a tag tells a stranger nothing')
  await send(app, 'PATCH', '/me', user.headers, { first_name: 'Augusta' })
  const answer = await send(app, 'GET', '/me', condition)
  t.equal(answer.statusCode, 200)
  t.equal(answer.json().first_name, 'Augusta')
})

test('a change to another version is not made', async t => {
  const app = await build(t)
  const admin = await signedIn(app)
  const user = await aUser(app)
  const stale = etagOf(user, 1)
  await send(app, 'PATCH', '/me', user.headers, { first_name: 'Augusta' })
  for (const condition of [
    { 'if-match': stale },
    { 'if-match': `W/${etagOf(user, 2)}` },
    { 'if-match': etagOf({ id: newId() }, 2) },
    { 'if-none-match': etagOf(user, 2) },
    { 'if-none-match': '*' },
  ] as Headers[]) {
    for (const [method, url, caller, payload] of [
      ['PATCH', '/me', user.headers, { first_name: 'Eve' }],
      ['PATCH', '/me', user.headers, { first_name: 'Augusta' }],
      ['PUT', '/me', user.headers, {}],
      ['PATCH', `/${user.id}`, admin, { role: 'admin', is_active: false }],
      ['PUT', `/${user.id}`, user.headers, { last_name: 'Eve' }],
      ['DELETE', `/${user.id}`, admin],
    ] as const) {
      const answer = await send(app, method, url, { ...caller, ...condition }, payload)
      t.equal(answer.statusCode, 412, `${method} ${url} ${JSON.stringify(condition)}`)
      t.equal(answer.json().code, 'precondition_failed')
      t.notOk('etag' in answer.headers)
    }
  }
  const present = await send(app, 'GET', '/me', user.headers)
  t.match(present.json(), { version: 2, first_name: 'Augusta', last_name: 'Lovelace', role: 'user' })

  const fresh = { ...admin, 'if-match': `${stale}, ${etagOf(user, 2)}` }
  t.equal((await send(app, 'PATCH', `/${user.id}`, fresh, { tier: 'premium' })).json().version, 3)
  const any = { ...admin, 'if-match': '*' }
  t.equal((await send(app, 'PUT', `/${user.id}`, any, { tier: 'standard' })).json().version, 4)
  const url = `/${user.id.toUpperCase()}`
  t.equal((await send(app, 'DELETE', url, { ...admin, 'if-match': etagOf(user, 4) })).statusCode, 204)
  t.equal(await versionOf(app, user.id), 5)

  const restore = `/${user.id}/restore`
  t.equal((await send(app, 'POST', restore, { ...admin, 'if-match': etagOf(user, 4) })).statusCode, 412)
  const restored = await send(app, 'POST', restore, { ...admin, 'if-match': etagOf(user, 5) })
  t.equal(restored.statusCode, 200)
  t.equal(restored.headers.etag, etagOf(user, 6))
})

test('one’s own account is closed only in the version that one knows', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = newcomer()
  const registered = await app.inject({ method: 'POST', url: '/api/v1/auth/register', payload: person })
  const headers = bearer(registered.json().access_token)
  const { id } = (await send(app, 'GET', '/me', headers)).json()
  const close = (version: number, password: string) =>
    send(app, 'DELETE', '/me', { ...headers, 'if-match': etagOf({ id }, version) }, { password })
  t.equal((await close(7, 'wrong')).statusCode, 401, 'the password first')
  t.equal((await close(7, person.password)).statusCode, 412)
  t.equal((await send(app, 'GET', '/me', headers)).json().is_active, true)
  t.equal((await close(1, person.password)).statusCode, 204)
  t.equal((await send(app, 'GET', '/me', headers)).statusCode, 401)
})

test('a password and an e-mail are changed only in the version that one knows', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = newcomer()
  const registered = await app.inject({ method: 'POST', url: '/api/v1/auth/register', payload: person })
  const { access_token, user } = registered.json()
  const { password } = person
  const new_password = 'quite another one'
  const put = (what: string, version: number, payload: object) =>
    send(app, 'PUT', `/me/${what}`, { ...bearer(access_token), 'if-match': etagOf(user, version) }, payload)
  const email = { email: newcomer().email, password }
  t.equal((await put('email', 7, { ...email, password: 'wrong' })).statusCode, 401, 'the password first')
  t.equal((await put('email', 7, email)).statusCode, 412)
  t.equal((await put('email', 1, email)).statusCode, 202)
  t.equal((await put('password', 7, { current_password: password, new_password })).statusCode, 412)
  t.equal((await put('password', 1, { current_password: password, new_password })).statusCode, 204)
  t.equal(await versionOf(app, user.id), 2)
})

test('of a hundred who change the same version, one does', async t => {
  const app = await build(t)
  const admin = await signedIn(app)
  const race = async (
    method: Method,
    user: { id: string },
    version: number,
    payload?: (n: number) => object,
  ) => {
    const headers = { ...admin, 'if-match': etagOf(user, version) }
    const all = Array.from({ length: 100 }, (_, n) => send(app, method, `/${user.id}`, headers, payload?.(n)))
    return Promise.all(all)
  }
  const user = await aUser(app)
  const patched = await race('PATCH', user, 1, n => ({ first_name: `Ada ${n}` }))
  t.strictSame(counted(patched), { 200: 1, 412: 99 })
  const winner = patched.find(({ statusCode }) => statusCode === 200)
  t.match(winner?.headers.etag, etagOf(user, 2).slice(0, -1))
  const present = (await send(app, 'GET', `/${user.id}`, admin)).json()
  t.strictSame([present.version, present.first_name], [2, winner?.json().first_name])
  const same = await race('PUT', user, 2, () => ({ first_name: 'Augusta' }))
  t.strictSame(counted(same), { 200: 1, 412: 99 }, 'also of those who want the same')
  t.equal(await versionOf(app, user.id), 3)
  t.strictSame(counted(await race('DELETE', user, 3)), { 204: 1, 404: 99 })
  t.equal(await versionOf(app, user.id), 4)
  const events = await app.inject({
    url: `/api/v1/audit?subject_id=${user.id}&type=user.*&per_page=100`,
    headers: admin,
  })
  t.equal(events.json().data.length, 3, 'an event for each change, and none for the others')
})

test('whoever demands versions gets no blind change', async t => {
  const app = await build(t, { variables: { ...CHEAP, REQUIRE_IF_MATCH: 'true' } })
  const admin = await signedIn(app)
  const user = await aUser(app)
  for (const [method, url, caller, payload] of [
    ['PATCH', '/me', user.headers, { first_name: 'Eve' }],
    ['PUT', '/me', user.headers, { first_name: 'Eve' }],
    ['DELETE', '/me', user.headers, { password: 'wrong' }],
    ['PATCH', `/${user.id}`, admin, { first_name: 'Eve' }],
    ['PUT', `/${user.id}`, user.headers, { first_name: 'Eve' }],
    ['DELETE', `/${user.id}`, admin],
  ] as const) {
    const answer = await send(app, method, url, caller, payload)
    t.equal(answer.statusCode, 428, `${method} ${url}`)
    t.equal(answer.json().code, 'precondition_required')
  }
  t.equal(await versionOf(app, user.id), 1)
  const known = { 'if-match': etagOf(user, 1) }
  t.equal(
    (await send(app, 'PATCH', '/me', { ...user.headers, ...known }, { first_name: 'B' })).statusCode,
    200,
  )
  t.equal((await send(app, 'DELETE', `/${user.id}`, { ...admin, 'if-match': '*' })).statusCode, 204)
  t.equal((await send(app, 'POST', `/${user.id}/restore`, admin)).statusCode, 200)
  t.equal((await send(app, 'POST', '', {}, newcomer())).statusCode, 201)
})

test('an answer that is given again has the tag that it had', async t => {
  const app = await build(t, { variables: CHEAP })
  const admin = await signedIn(app)
  const keyed = { ...admin, 'idempotency-key': newId() }
  const person = newcomer()
  const created = await send(app, 'POST', '', keyed, person)
  const user = created.json()
  await send(app, 'PATCH', `/${user.id}`, admin, { tier: 'premium' })
  const again = await send(app, 'POST', '', keyed, person)
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.equal(again.headers.etag, etagOf(user, 1))
  await send(app, 'DELETE', `/${user.id}`, admin)
  const restore = (version: number) =>
    send(app, 'POST', `/${user.id}/restore`, {
      ...admin,
      'idempotency-key': `${user.id} ${version}`,
      'if-match': etagOf(user, version),
    })
  t.equal((await restore(2)).statusCode, 412)
  for (const time of ['first', 'second']) {
    const restored = await restore(3)
    t.equal(restored.statusCode, 200, `${time} ${restored.body}`)
    t.equal(restored.headers.etag, etagOf(user, 4), time)
  }
})

test('who may not, what is not there and the last administrator come first', async t => {
  const app = await alone(t)
  const { id, headers } = await aUser(app, 'admin')
  const user = await aUser(app)
  const stale = { 'if-match': etagOf({ id }, 9) }
  const status = async (method: Method, url: string, caller: Headers, payload?: object) => {
    const answer = await send(app, method, url, { ...caller, ...stale }, payload)
    return [answer.statusCode, answer.json().code]
  }
  t.strictSame(await status('PATCH', `/${id}`, {}, {}), [401, 'unauthenticated'])
  t.strictSame(await status('PATCH', `/${id}`, user.headers, {}), [403, 'forbidden'])
  t.strictSame(await status('PATCH', `/${user.id}`, user.headers, { role: 'admin' }), [403, 'forbidden'])
  t.strictSame(await status('DELETE', `/${id}`, user.headers), [403, 'forbidden'])
  const nobody = `/${newId()}`
  for (const method of ['PATCH', 'PUT', 'DELETE'] as const) {
    t.strictSame(await status(method, nobody, headers, method === 'DELETE' ? undefined : {}), [
      404,
      'not_found',
    ])
  }
  t.strictSame(await status('POST', `/${user.id}/restore`, headers), [404, 'not_found'])
  t.strictSame(await status('PATCH', `/${id}`, headers, { role: 'user' }), [409, 'last_admin'])
  t.strictSame(await status('PATCH', '/me', headers, { color: 'red' }), [400, 'validation_failed'])
  t.strictSame(await status('DELETE', `/${id}`, headers), [409, 'last_admin'])
  t.strictSame(await status('PATCH', `/${id}`, headers, { first_name: 'Eve' }), [412, 'precondition_failed'])
})

/** A database of its own, because who is the last administrator depends on all users. */
const alone = async (t: Test) => build(t, { database: await anotherDatabase(t) })
