import { once } from 'node:events'
import { get } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import type { App } from '../../../src/app.ts'
import { buildApp } from '../../../src/app.ts'
import type { Lifecycle } from '../../../src/lib/lifecycle.ts'
import { testDatabase } from '../../database.ts'
import { aUser, listen, recordingLogger, testConfig } from '../../helper.ts'
import { CHEAP } from '../auth/people.ts'
import { follow, note, opened } from './following.ts'

/** From the answer to what ended it. */
const LIMIT_MS = 1_000

test('whoever is no longer let in hears no more within a second', async t => {
  const { app, url } = await listen(t, { variables: CHEAP })
  const admin = await aUser(app, 'admin')
  const call = async (
    method: 'POST' | 'PATCH' | 'DELETE',
    path: string,
    headers: object,
    payload?: object,
  ) => {
    const answer = await app.inject({
      method,
      url: `/api/v1${path}`,
      headers: { ...headers },
      ...(payload && { payload }),
    })
    if (answer.statusCode >= 300) throw new Error(`${path}: ${answer.body}`)
    return answer
  }
  type Person = Awaited<ReturnType<typeof aUser>>
  const sessionOf = ({ headers }: Person) => headers as Record<string, string>

  async function check(
    name: string,
    end: (person: Person, key: { id: string }) => Promise<unknown>,
    { byKey = false, query = '', role = 'user' as 'user' | 'admin' } = {},
  ) {
    const person = await aUser(app, role)
    const made = await call('POST', '/auth/api-keys', person.headers, { name: 'x', scopes: ['events:read'] })
    const { id, key } = made.json()
    const stream = await opened(t, url, byKey ? { 'x-api-key': key } : sessionOf(person), query)
    await end(person, { id })
    const since = performance.now()
    t.equal(await stream.ended, true, `${name}: the answer is whole`)
    const took = performance.now() - since
    t.ok(took < LIMIT_MS, `${name} took ${Math.round(took)} ms`)
  }

  await check('logout', ({ headers }) => call('POST', '/auth/logout', headers, {}))
  await check('revoked session', ({ headers, session_id }) =>
    call('DELETE', `/auth/sessions/${session_id}`, headers),
  )
  await check('deactivated', ({ id }) => call('PATCH', `/users/${id}`, admin.headers, { is_active: false }))
  await check('deleted', ({ id }) => call('DELETE', `/users/${id}`, admin.headers))
  await check('revoked key', ({ headers }, { id }) => call('DELETE', `/auth/api-keys/${id}`, headers), {
    byKey: true,
  })
  await check(
    'key that lost its scope',
    ({ headers }, { id }) => call('PATCH', `/auth/api-keys/${id}`, headers, { scopes: ['items:read'] }),
    { byKey: true },
  )
  await check(
    'administrator no more',
    ({ id }) => call('PATCH', `/users/${id}`, admin.headers, { role: 'editor' }),
    { query: '?scope=all', role: 'admin' },
  )
})

test('a stream outlives neither its access token nor is it ended by what does not concern it', async t => {
  const { app, url } = await listen(t, { variables: { JWT_ACCESS_TOKEN_EXPIRES: '2' } })
  const other = await listen(t)
  const [user, admin] = [await aUser(app), await aUser(other.app, 'admin')]
  const stream = await opened(t, url, user.headers)
  const promoted = await aUser(other.app)
  const kept = await opened(t, other.url, promoted.headers)
  const change = { method: 'PATCH', url: `/api/v1/users/${promoted.id}`, headers: admin.headers } as const
  t.equal((await other.app.inject({ ...change, payload: { role: 'editor' } })).statusCode, 200)
  t.equal(await stream.ended, true)
  await note(app.database.db, promoted.id, 1)
  await kept.heard(1)
})

test('a user has so many streams and no more, and however one ends, its place is free again', async t => {
  const { app, url } = await listen(t, { variables: { EVENT_STREAMS_PER_USER: '2' } })
  const [user, other] = [await aUser(app), await aUser(app)]
  const first = await opened(t, url, user.headers)
  const second = await opened(t, url, user.headers)
  const refused = await app.inject({ url: '/api/v1/events', headers: user.headers })
  t.match(refused.json(), { status: 429, code: 'rate_limited' })
  t.match(refused.headers['retry-after'], /^\d+$/)
  await opened(t, url, other.headers)
  await first.close()
  const third = await retried(() => follow(t, url, user.headers))
  t.equal((await app.inject({ url: '/api/v1/events', headers: user.headers })).statusCode, 429)

  // Gone before it was answered.
  await third.close()
  await second.close()
  for (let round = 0; round < 20; round++) {
    const request = get(`${url}/api/v1/events`, { headers: user.headers, agent: false })
    request.on('error', () => {})
    request.once('socket', socket => socket.once('connect', () => setImmediate(() => request.destroy())))
    await new Promise(resolve => request.once('close', resolve))
  }
  await retried(() => follow(t, url, user.headers))
  await retried(() => follow(t, url, user.headers))
})

test('streams that wait behind another one on their connection end with it', async t => {
  const { logger, lines } = recordingLogger('info')
  const { app, url, port } = await listen(t, { logger, variables: { EVENT_STREAMS_PER_USER: '3' } })
  const user = await aUser(app)
  const { authorization } = user.headers
  // Once it is known who calls, all three are let in as soon as they have arrived.
  const known = () => !(app.accounts.principals.ofSession(user.session_id) instanceof Promise)
  while (!known()) await pause(10)
  const asked = `GET /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n\r\n`
  const socket = connect(port, '127.0.0.1').resume()
  socket.write(asked.repeat(3))
  await once(socket, 'data')
  t.equal((await follow(t, url, user.headers)).status, 429)
  socket.destroy()
  for (let count = 0; count < 3; count++) await retried(() => follow(t, url, user.headers))
  const ended = lines().filter(
    ({ operation_id, status }) => operation_id === 'streamEvents' && status === 200,
  )
  t.equal(ended.length, 3, 'a line each')
  t.ok(
    ended.every(({ ip }) => ip === '127.0.0.1'),
    'of whoever it was',
  )
})

test('a process that ends sends its clients away at once, and takes no new ones', async t => {
  const { logger, lines } = recordingLogger('info')
  const lifecycle: Lifecycle = { phase: 'serving' }
  const app = (await buildApp(testConfig(), { database: await testDatabase(), logger, lifecycle })) as App
  t.teardown(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const user = await aUser(app)
  const streams = await Promise.all([opened(t, url, user.headers), opened(t, url, user.headers)])
  lifecycle.phase = 'draining'
  const since = performance.now()
  t.strictSame(await Promise.all(streams.map(({ ended }) => ended)), [true, true])
  t.ok(performance.now() - since < LIMIT_MS)
  const answer = await app.inject({ url: '/api/v1/events', headers: user.headers })
  t.match(answer.json(), { status: 503, code: 'unavailable' })
  t.ok(answer.headers['retry-after'])
  t.notOk(lines().some(({ msg }) => String(msg).includes('failing')))
})

test('closing the app ends the streams', async t => {
  const { app, url } = await listen(t)
  const stream = await opened(t, url, (await aUser(app)).headers)
  await app.close()
  t.equal(await stream.ended, true)
})

/** Until there is a place: the server hears of a client's end when it hears of it. */
async function retried(open: () => ReturnType<typeof follow>) {
  for (;;) {
    const stream = await open()
    if (stream.status === 200) return stream
    await stream.ended
  }
}
