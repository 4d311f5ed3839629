import { test } from 'tap'
import { newApiKey, shownPart } from '../../../src/accounts/api-key-format.ts'
import { apiKeys } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import type { Scope } from '../../../src/lib/access.ts'
import { newId } from '../../../src/lib/id.ts'
import { sha256 } from '../../../src/lib/opaque.ts'
import { aUser, build } from '../../helper.ts'
import {
  type AnItem,
  anItem,
  etagOf,
  eventsAbout,
  eventsOf,
  type Headers,
  path,
  send,
  writes,
} from './calls.ts'

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

test('an item is answered as its owner made it, and with nothing else', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const given = {
    title: 'Désk lamp 😀',
    description: 'Brass.\n\t"E27"',
    status: 'published',
    price: '12.5',
    metadata: { color: 'red', size: { cm: [30, 40.5] }, none: null },
  }
  const made = await send(app, 'POST', '', headers, given)
  t.equal(made.statusCode, 201)
  const item: AnItem = made.json()
  const { id, created_at } = item
  t.match(id, UUID_V7)
  t.match(created_at, MOMENT)
  t.ok(Math.abs(Date.now() - Date.parse(created_at)) < 60_000)
  t.strictSame(item, {
    ...given,
    id,
    user_id,
    price: '12.50',
    version: 1,
    created_at,
    updated_at: created_at,
  })
  t.equal(made.headers.location, `${path}/${id}`)
  t.equal(made.headers.etag, etagOf(item))

  const read = await send(app, 'GET', `/${id}`, headers)
  t.equal(read.statusCode, 200)
  t.strictSame(read.json(), item)
  t.equal(read.headers.etag, etagOf(item))
  const listed = (await send(app, 'GET', '', headers)).json()
  const { title, status, price, updated_at } = item
  t.strictSame(listed.data, [{ id, title, status, price, created_at, updated_at, version: 1 }])

  const changed = await send(app, 'PATCH', `/${id}`, headers, { price: 7, metadata: {} })
  t.equal(changed.statusCode, 200)
  const after: AnItem = changed.json()
  t.strictSame(after, {
    ...item,
    price: '7.00',
    metadata: {},
    version: 2,
    updated_at: after.updated_at,
  })
  t.ok(after.updated_at >= item.updated_at)
  t.equal(changed.headers.etag, etagOf(after))
  t.strictSame((await send(app, 'GET', `/${id.toUpperCase()}`, headers)).json(), after)

  const deleted = await send(app, 'DELETE', `/${id}`, headers)
  t.equal(deleted.statusCode, 204)
  t.equal(deleted.body, '')
  t.notOk('etag' in deleted.headers)
})

test('what is not said has a default; what is said to be nothing is cleared', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const bare = await anItem(app, headers, { title: 'x' })
  t.match(bare, { title: 'x', description: null, status: 'draft', price: '0.00' })
  t.strictSame(bare.metadata, {})

  const full = { title: 'a', description: 'b', status: 'archived', price: '3.00', metadata: { c: 1 } }
  const { id } = await anItem(app, headers, full)
  const fields = async (payload: object, method: 'PATCH' | 'PUT' = 'PATCH') => {
    const answer = await send(app, method, `/${id}`, headers, payload)
    t.equal(answer.statusCode, 200, answer.body)
    const { title, description, status, price, metadata, version } = answer.json()
    return { title, description, status, price, metadata, version }
  }
  t.strictSame(await fields({}), { ...full, version: 1 }, 'nothing is left to be changed')
  t.strictSame(await fields({}, 'PUT'), { ...full, version: 1 })
  t.strictSame(await fields({ description: null }), { ...full, description: null, version: 2 })
  t.strictSame(await fields({ description: '' }, 'PUT'), { ...full, description: '', version: 3 })
  t.strictSame(await fields({ description: null }, 'PUT'), { ...full, description: null, version: 4 })
  t.strictSame(await fields({ metadata: { d: { e: null } } }), {
    ...full,
    description: null,
    metadata: { d: { e: null } },
    version: 5,
  })
})

const levels = (count: number): unknown => (count === 0 ? 'leaf' : { deeper: levels(count - 1) })
const arrayLevels = (count: number): unknown => (count === 0 ? 1 : [arrayLevels(count - 1)])
/** Metadata of so many bytes as JSON. */
const bytes = (count: number, fill = 'x') => {
  const room = count - '{"k":""}'.length
  const text = fill.repeat(Math.floor(room / Buffer.byteLength(fill)))
  return { k: text + 'x'.repeat(room - Buffer.byteLength(text)) }
}

const accepted: [string, object, object?][] = [
  ['a title of one character', { title: '.' }],
  ['a title of 255 characters', { title: 'x'.repeat(255) }],
  ['a title of 255 characters of four bytes', { title: '😀'.repeat(255) }],
  ['a title that looks like SQL', { title: `'; drop table items; --` }],
  ['a title that looks like null', { title: 'null' }],
  ['an empty description', { description: '' }],
  ['a description of 10 000 characters', { description: 'ä'.repeat(10_000) }],
  ['10 000 characters of four bytes', { description: '😀'.repeat(10_000) }],
  ['a price as text with one place', { price: '12.5' }, { price: '12.50' }],
  ['a price as text without places', { price: '5' }, { price: '5.00' }],
  ['a price with zeros before', { price: '00000001.1' }, { price: '1.10' }],
  ['a number', { price: 12.5 }, { price: '12.50' }],
  ['a whole number', { price: 5 }, { price: '5.00' }],
  ['a number that is not exact in binary', { price: 0.07 }, { price: '0.07' }],
  ['another one', { price: 1.1 }, { price: '1.10' }],
  ['zero', { price: 0 }, { price: '0.00' }],
  ['minus zero', JSON.parse('{"price":-0}'), { price: '0.00' }],
  ['the highest price', { price: '99999999.99' }],
  ['the highest price as a number', { price: 99_999_999.99 }, { price: '99999999.99' }],
  ['metadata of 16 KiB', { metadata: bytes(16_384) }],
  ['metadata of 16 KiB in long characters', { metadata: bytes(16_384, '€') }],
  ['metadata of 8 levels', { metadata: levels(8) as object }],
  ['metadata of 8 levels of arrays', { metadata: { a: arrayLevels(7) } }],
  ['metadata with strange keys', { metadata: { '': 1, 'a.b': 2, ä: 3, "'": 4, '"': 5, id: 6, null: null } }],
]

test('what an item may be', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  for (const [name, fields, shown = fields] of accepted) {
    const answer = await send(app, 'POST', '', headers, { title: 'x', ...fields })
    t.equal(answer.statusCode, 201, `${name} ${answer.statusCode === 201 ? '' : answer.body}`)
    t.match(answer.json(), shown, name)
    const changed = await send(app, 'PATCH', `/${id}`, headers, fields)
    t.equal(changed.statusCode, 200, name)
    t.match(changed.json(), shown, name)
  }
  const both = accepted.flatMap(
    ([, { metadata }]: [string, { metadata?: object }, object?]) => metadata ?? [],
  )
  for (const metadata of both) {
    const made = await anItem(app, headers, { metadata })
    t.strictSame(made.metadata, metadata)
    t.strictSame((await send(app, 'GET', `/${made.id}`, headers)).json().metadata, metadata)
  }
})

/** The fields, and where the first fault is. */
const refused: [string, object, string, string][] = [
  ['an empty title', { title: '' }, '/title', 'minLength'],
  ['a title of 256 characters', { title: 'x'.repeat(256) }, '/title', 'maxLength'],
  ['a title of 256 characters of four bytes', { title: '😀'.repeat(256) }, '/title', 'maxLength'],
  ['a number as a title', { title: 5 }, '/title', 'type'],
  ['no title', { title: null }, '/title', 'type'],
  ['a long description', { description: 'x'.repeat(10_001) }, '/description', 'maxLength'],
  ['a description that is none', { description: 5 }, '/description', 'type'],
  ['an unknown status', { status: 'deleted' }, '/status', 'enum'],
  ['a status in capitals', { status: 'Draft' }, '/status', 'enum'],
  ['no status', { status: null }, '/status', 'type'],
  ['a price with three places', { price: '1.234' }, '/price', 'pattern'],
  ['a number with three places', { price: 1.005 }, '/price', 'decimals'],
  ['a tiny number', { price: 1e-7 }, '/price', 'decimals'],
  ['a negative price', { price: -1 }, '/price', 'minimum'],
  ['a negative price as text', { price: '-1' }, '/price', 'pattern'],
  ['a price that is too high', { price: 100_000_000 }, '/price', 'maximum'],
  ['such a price as text', { price: '100000000' }, '/price', 'pattern'],
  ['such a price by a cent', { price: '100000000.00' }, '/price', 'pattern'],
  ['a giant price', { price: 1e21 }, '/price', 'maximum'],
  ['NaN', { price: 'NaN' }, '/price', 'pattern'],
  ['infinity', { price: 'Infinity' }, '/price', 'pattern'],
  ['an exponent', { price: '1e2' }, '/price', 'pattern'],
  ['a comma', { price: '1,50' }, '/price', 'pattern'],
  ['a line break', { price: '1.50\n' }, '/price', 'pattern'],
  ['other digits', { price: '١٢' }, '/price', 'pattern'],
  ['an empty price', { price: '' }, '/price', 'pattern'],
  ['a dot at the end', { price: '1.' }, '/price', 'pattern'],
  ['true as a price', { price: true }, '/price', 'type'],
  ['no price', { price: null }, '/price', 'type'],
  ['metadata of one byte more', { metadata: bytes(16_385) }, '/metadata', 'most-bytes'],
  ['metadata that is long in bytes', { metadata: bytes(16_385, '€') }, '/metadata', 'most-bytes'],
  ['metadata of 9 levels', { metadata: levels(9) }, '/metadata', 'most-levels'],
  ['metadata of 9 levels of arrays', { metadata: { a: arrayLevels(8) } }, '/metadata', 'most-levels'],
  // As Postgres stores it, 309 digits.
  ['metadata of many digits', { metadata: { a: Array(60).fill(1e308) } }, '/metadata', 'most-bytes'],
  ['an array as metadata', { metadata: [] }, '/metadata', 'type'],
  ['text as metadata', { metadata: '{}' }, '/metadata', 'type'],
  ['no metadata', { metadata: null }, '/metadata', 'type'],
  ...['id', 'user_id', 'version', 'created_at', 'updated_at', 'deleted_at', 'color', 'a/b~c'].map(
    (name): [string, object, string, string] => [
      `the field ${name}`,
      { [name]: 'x' },
      `/${name.replace('~', '~0').replace('/', '~1')}`,
      'additionalProperties',
    ],
  ),
]

const pointersIn = (answer: { json(): { errors: { pointer: string }[] } }): string[] =>
  answer.json().errors.map(({ pointer }) => pointer)

test('what an item may not be', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const item = await anItem(app, headers)
  for (const [name, fields, pointer, code] of refused) {
    for (const [method, url, payload] of [
      ['POST', '', { title: 'x', ...fields }],
      ['PATCH', `/${item.id}`, fields],
      ['PUT', `/${item.id}`, fields],
    ] as const) {
      const answer = await send(app, method, url, headers, payload)
      t.match(
        answer.json(),
        { status: 400, code: 'validation_failed', errors: [{ in: 'body', pointer, code }] },
        `${method} ${name}`,
      )
      t.strictSame([...new Set(pointersIn(answer))], [pointer], `${method} ${name}: nothing else`)
    }
  }
  t.match((await send(app, 'POST', '', headers, {})).json().errors, [{ pointer: '/title', code: 'required' }])
  const many = await send(app, 'POST', '', headers, { title: '', price: '-1', color: 'red' })
  t.strictSame(pointersIn(many).sort(), ['/color', '/price', '/title'], 'each fault is told')
  t.match((await send(app, 'GET', '/x', headers)).json(), { status: 400, errors: [{ pointer: '/id' }] })
  t.equal((await send(app, 'PATCH', `/${item.id}`, headers)).statusCode, 400, 'no body')
  t.strictSame((await send(app, 'GET', `/${item.id}`, headers)).json(), item)
  t.equal((await eventsOf(app, user_id)).length, 1, 'only that it was created')
})

test('no text that cannot be stored, wherever it is', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  const json = { ...headers, 'content-type': 'application/json' }
  for (const bad of ['\\u0000', 'a\\ud800', '\\udc00a']) {
    for (const fields of [
      `"title":"${bad}"`,
      `"description":"${bad}"`,
      `"price":"${bad}"`,
      `"metadata":{"a":{"b":["${bad}"]}}`,
      `"metadata":{"${bad}":1}`,
      `"${bad}":1`,
    ]) {
      for (const [method, url] of [
        ['POST', path],
        ['PATCH', `${path}/${id}`],
      ] as const) {
        const answer = await app.inject({ method, url, headers: json, payload: `{${fields}}` })
        t.match(answer.json(), { status: 400, code: 'invalid_text' }, `${method} ${fields}`)
      }
    }
  }
  const pair = { method: 'POST', url: path, headers: json, payload: '{"title":"\\ud83d\\ude00"}' } as const
  t.equal((await app.inject(pair)).json().title, '😀')
})

test('no number that is too great to be one', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const json = { ...headers, 'content-type': 'application/json' }
  for (const number of ['1e999', '-1e999']) {
    const payload = `{"title":"x","metadata":{"a":[${number}]}}`
    const answer = await app.inject({ method: 'POST', url: path, headers: json, payload })
    t.match(answer.json(), { status: 400, errors: [{ pointer: '/metadata' }] }, number)
  }
})

async function keyOf(app: App, user_id: string, scopes: Scope[]): Promise<Headers> {
  const key = newApiKey()
  const values = { user_id, name: 'x', prefix: shownPart(key), key_hash: sha256(key), scopes }
  await app.database.db.insert(apiKeys).values(values)
  return { 'x-api-key': key }
}

/** Each way to an item. */
const ways = [['GET', ''] as const, ...writes]

test('who does not say who he is sees nothing', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  for (const [method, suffix, payload] of ways) {
    const answer = await send(app, method, `/${id}${suffix}`, {}, payload)
    t.match(answer.json(), { status: 401, code: 'unauthenticated' }, `${method} ${suffix}`)
  }
  for (const [method, url] of [
    ['GET', ''],
    ['POST', ''],
    ['GET', '/stats'],
    ['POST', '/batch'],
  ] as const) {
    t.equal((await send(app, method, url, {})).statusCode, 401, `${method} ${url}`)
  }
})

test('a key does what its scopes say', async t => {
  const app = await build(t)
  const { id: user_id } = await aUser(app)
  const reader = await keyOf(app, user_id, ['items:read', 'posts:write'])
  const writer = await keyOf(app, user_id, ['items:write'])
  const item = await anItem(app, writer)
  t.equal(item.user_id, user_id)
  const problem = { status: 403, code: 'insufficient_scope' }
  for (const url of [`/${item.id}`, '', '/stats']) {
    t.equal((await send(app, 'GET', url, reader)).statusCode, 200, url)
    t.match((await send(app, 'GET', url, writer)).json(), problem, url)
  }
  for (const [method, suffix, payload] of writes) {
    const answer = await send(app, method, `/${item.id}${suffix}`, reader, payload)
    t.match(answer.json(), problem, `${method} ${suffix}`)
  }
  t.match((await send(app, 'POST', '', reader, { title: 'x' })).json(), problem)
  const batch = { operations: [{ op: 'delete', id: item.id }] }
  t.match((await send(app, 'POST', '/batch', reader, batch)).json(), problem)
  t.strictSame((await send(app, 'GET', `/${item.id}`, reader)).json(), item)
  for (const [method, suffix, payload] of writes) {
    const answer = await send(app, method, `/${item.id}${suffix}`, writer, payload)
    t.ok(answer.statusCode < 300, `${method} ${suffix}`)
  }
})

test('what is another’s, deleted or never was is not there, for whatever', async t => {
  const app = await build(t)
  const [owner, stranger, editor] = [await aUser(app), await aUser(app), await aUser(app, 'editor')]
  const item = await anItem(app, owner.headers, { description: 'planted-secret' })
  const gone = await anItem(app, stranger.headers)
  await send(app, 'DELETE', `/${gone.id}`, stranger.headers)
  for (const [who, id, headers] of [
    ['another’s', item.id, stranger.headers],
    ['another’s, for an editor', item.id, editor.headers],
    ['another’s, with its tag', item.id, { ...stranger.headers, 'if-match': etagOf(item) }],
    ['another’s, with a wrong tag', item.id, { ...stranger.headers, 'if-match': '"x"' }],
    ['unknown', newId(), stranger.headers],
    ['deleted', gone.id, stranger.headers],
  ] as const) {
    for (const [method, suffix, payload] of ways) {
      if (who === 'deleted' && suffix === '/restore') continue
      const answer = await send(app, method, `/${id}${suffix}`, headers, payload)
      t.match(answer.json(), { status: 404, code: 'not_found' }, `${who}: ${method} ${suffix}`)
      t.notMatch(answer.body, /planted/)
      t.notOk('etag' in answer.headers)
    }
  }
  const condition = { ...stranger.headers, 'if-none-match': etagOf(item) }
  t.equal(
    (await send(app, 'GET', `/${item.id}`, condition)).statusCode,
    404,
    'a tag tells a stranger nothing',
  )
  t.strictSame((await send(app, 'GET', '', stranger.headers)).json().data, [])
  t.strictSame((await send(app, 'GET', `/${item.id}`, owner.headers)).json(), item)
  t.equal((await eventsAbout(app, item.id)).length, 1)
})

test('an administrator does with it what its owner does, and it stays the owner’s', async t => {
  const app = await build(t)
  const owner = await aUser(app)
  const admin = await aUser(app, 'admin')
  const { id } = await anItem(app, owner.headers)
  for (const [method, suffix, payload] of ways) {
    const answer = await send(app, method, `/${id}${suffix}`, admin.headers, payload)
    t.equal(answer.statusCode, method === 'DELETE' ? 204 : 200, `${method} ${suffix}`)
    if (method !== 'DELETE') t.equal(answer.json().user_id, owner.id)
  }
  t.equal((await send(app, 'POST', `/${id}/restore`, admin.headers)).statusCode, 200)
  const [created, ...others] = await eventsAbout(app, id)
  t.match(created, { actor_id: owner.id, owner_id: owner.id })
  t.ok(others.length > 4)
  for (const event of others) t.match(event, { actor_id: admin.id, owner_id: owner.id }, event.type)
})
