import { test } from 'tap'
import { newApiKey, shownPart } from '../../../src/accounts/api-key-format.ts'
import { apiKeys } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import type { Actor } from '../../../src/lib/actor.ts'
import { sha256 } from '../../../src/lib/opaque.ts'
import { aUser, listen, recordingLogger } from '../../helper.ts'
import { follow, note, opened } from './following.ts'

const URL = '/api/v1/events'

const acting = (id: string): Actor => ({
  type: 'user',
  id,
  origin: { request_id: 'r', ip: '203.0.113.9', user_agent: 'a browser' },
})

async function aKey(app: App, user_id: string, scopes: ('events:read' | 'items:read')[]) {
  const key = newApiKey()
  const values = { user_id, name: 'x', prefix: shownPart(key), key_hash: sha256(key), scopes }
  await app.database.db.insert(apiKeys).values(values)
  return { 'x-api-key': key }
}

test('an event is its type, its id, and itself in one line, as the audit shows it', async t => {
  const { app, url } = await listen(t)
  const [admin, user] = [await aUser(app, 'admin'), await aUser(app)]
  const stream = await opened(t, url, user.headers)
  t.equal(stream.status, 200)
  t.match(stream.headers, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'private, no-store, no-transform',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
    'x-request-id': /./,
  })
  t.match(stream.blocks[0]?.raw, /^retry: [123]\d{3}\nid: after-\d+-[0-9a-f-]{36}$/)

  await note(app.database.db, user.id, 1, { actor: acting(user.id), text: 'two\r\nlines\u2028and “more”' })
  await stream.heard(1)
  const { data } = (
    await app.inject({ url: `/api/v1/audit?owner_id=${user.id}`, headers: admin.headers })
  ).json()
  const [event] = data
  t.equal(stream.blocks.length, 2)
  t.equal(
    stream.blocks[1]?.raw,
    `event: test_note.taken\nid: ${event.id}\ndata: ${JSON.stringify(event)}`,
    'byte for byte',
  )
  t.equal(event.ip, '203.0.113.9', 'one’s own place is no secret')
})

test('a user follows what is their own; an administrator may follow all', async t => {
  const { app, url } = await listen(t)
  const { db } = app.database
  const [admin, one, other] = [await aUser(app, 'admin'), await aUser(app), await aUser(app)]
  const own = await opened(t, url, one.headers)
  const admins = await opened(t, url, admin.headers)
  const all = await opened(t, url, admin.headers, '?scope=all')
  await note(db, other.id, 1)
  await note(db, null, 2)
  await note(db, one.id, 3, { actor: acting(other.id) })
  await note(db, admin.id, 4)
  await Promise.all([own.heard(3), admins.heard(4), all.heard(4)])
  t.strictSame(own.numbers(), [3])
  t.strictSame(admins.numbers(), [4])
  t.strictSame(all.numbers(), [1, 2, 3, 4])
  const place = ({ blocks }: typeof own) => {
    const { ip, user_agent } = JSON.parse(blocks.find(({ data }) => data?.includes('[null,3]'))?.data ?? '')
    return { ip, user_agent }
  }
  t.strictSame(place(own), { ip: null, user_agent: null }, 'where another one acted is not the owner’s')
  t.strictSame(place(all), { ip: '203.0.113.9', user_agent: 'a browser' })
})

test('real changes, by session and by key, and only the types that are asked for', async t => {
  const { app, url } = await listen(t)
  const user = await aUser(app)
  const items = await opened(t, url, user.headers, '?types=item.*,post.created')
  const every = await opened(t, url, await aKey(app, user.id, ['events:read']))
  await note(app.database.db, user.id, 1)
  const headers = user.headers
  const item = { method: 'POST', url: '/api/v1/items', headers, payload: { title: 'Lamp' } } as const
  const post = { ...item, url: '/api/v1/posts', payload: { title: 'On lamps', content: 'They shine.' } }
  const { id } = (await app.inject(item)).json()
  await app.inject({ ...item, url: `/api/v1/items/${id}/publish`, payload: {} })
  await app.inject(post)
  await items.when(() => items.blocks.length === 4)
  await every.when(() => every.blocks.length === 5)
  const types = ({ blocks }: typeof items) => blocks.slice(1).map(({ event }) => event)
  t.strictSame(types(items), ['item.created', 'item.published', 'post.created'])
  t.strictSame(types(every), ['test_note.taken', 'item.created', 'item.published', 'post.created'])
  t.equal(JSON.parse(every.blocks[2]?.data ?? '').subject.id, id)
})

test('what is wrong with a request is told before the stream begins', async t => {
  const { app } = await listen(t)
  const [admin, user] = [await aUser(app, 'admin'), await aUser(app)]
  const ask = async (query: string, headers: Record<string, string> = user.headers) =>
    (await app.inject({ url: `${URL}${query}`, headers })).json()
  const fault = (where: string, pointer: string) => ({
    status: 400,
    code: 'validation_failed',
    errors: [{ in: where, pointer }],
  })
  for (const types of ['item.craeted', 'item', '*.created', '', 'item.*,', 'Item.*', 'a'.repeat(6_000)]) {
    t.match(await ask(`?types=${types}`), fault('query', '/types'), types.slice(0, 20))
  }
  t.match(await ask(`?types=${Array(51).fill('item.*').join()}`), fault('query', '/types'), 'too many')
  t.match(await ask('?scope=some'), fault('query', '/scope'))
  const overlong = `after-${'9'.repeat(19)}-01234567-0123-7123-8123-0123456789ab`
  for (const id of ['x', '5', 'after-5', '01234567-0123-7123-8123', overlong]) {
    const headers = { ...user.headers, 'last-event-id': id }
    t.match(await ask('', headers), fault('header', '/last-event-id'), id)
  }
  t.match(await ask('', {}), { status: 401, code: 'unauthenticated' })
  t.match(await ask('?scope=all'), { status: 403, code: 'forbidden' })
  const key = await aKey(app, admin.id, ['events:read'])
  t.match(await ask('?scope=all', key), { status: 403, code: 'forbidden' }, 'a key is no administrator')
  t.match(await ask('', await aKey(app, user.id, ['items:read'])), { code: 'insufficient_scope' })
  const head = await app.inject({ method: 'HEAD', url: URL, headers: user.headers })
  t.equal(head.statusCode, 405)
})

test('a stream is one line in the log, when it is over', async t => {
  const { logger, lines } = recordingLogger('info')
  const { app, url } = await listen(t, { logger })
  const user = await aUser(app)
  const logged = () =>
    lines().filter(({ level, operation_id }) => level > 30 || operation_id === 'streamEvents')
  const stream = await opened(t, url, user.headers)
  t.strictSame(logged(), [])
  await stream.close()
  while (logged().length === 0) await new Promise(setImmediate)
  t.match(logged(), [{ msg: 'request', status: 200, user_id: user.id }])
  t.equal(logged().length, 1)
  await follow(t, url, user.headers)
  await app.close()
  t.equal(logged().length, 2, 'also when the service ends it')
  t.notOk(lines().some(({ msg }) => msg === 'stream closed prematurely'))
})
