import { Type } from '@sinclair/typebox'
import { test } from 'tap'
import { build, probe } from '../helper.ts'

const Body = Type.Object(
  {
    title: Type.Optional(Type.String({ minLength: 1 })),
    note: Type.Optional(Type.Unsafe<string | null>({ type: ['string', 'null'] })),
    count: Type.Optional(Type.Integer()),
    price: Type.Optional(
      Type.String({ pattern: '^\\d+\\.\\d\\d$', 'x-message': 'must be a decimal with two places' }),
    ),
    status: Type.Optional(Type.Unsafe<string>({ type: 'string', enum: ['draft', 'published'] })),
    tags: Type.Optional(Type.Array(Type.String())),
    metadata: Type.Optional(Type.Object({}, { additionalProperties: true })),
  },
  { additionalProperties: false },
)

const Query = Type.Object({
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  all: Type.Optional(Type.Boolean()),
  types: Type.Optional(Type.Array(Type.String())),
  search: Type.Optional(Type.String()),
})

const routes: NonNullable<NonNullable<Parameters<typeof build>[1]>['routes']> = async app => {
  app.post('/echo', probe('echo', { body: Body, querystring: Query }), async request => ({
    body: request.body,
    query: request.query,
  }))
  const params = Type.Object({ id: Type.String({ format: 'uuid' }) })
  app.get('/find/:id', probe('find', { params, querystring: Query }), async request => request.query)
  app.post('/empty', probe('empty'), async request => ({ body: request.body ?? null }))
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    app.route({ method, url: '/empty', ...probe(`${method}Empty`), handler: async () => ({}) })
  }
}

async function open(t: Parameters<typeof build>[0]) {
  const app = await build(t, { routes })
  const send = (payload: string | Buffer, headers: Record<string, string> = {}, url = '/echo') =>
    app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json', ...headers } })
  return { app, send }
}

test('a body is JSON in UTF-8, as it is', async t => {
  const { send } = await open(t)
  const sent = { title: 'Schöne Grüße 🎉', note: null, count: 1, metadata: { a: [1, { b: 'c' }] } }
  const answer = await send(JSON.stringify(sent), { 'content-type': 'application/json; charset=UTF-8' })
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json().body, sent)
  t.strictSame(
    (await send('\ufeff{"title":"x"}')).json().body,
    { title: 'x' },
    'a byte order mark is no text',
  )
})

const cases: [string, string | Buffer, Record<string, string>, number, string][] = [
  ['not JSON', '{"title":', {}, 400, 'malformed_json'],
  ['two values', '{}{}', {}, 400, 'malformed_json'],
  ['a poisoned prototype', '{"__proto__":{"admin":true}}', {}, 400, 'malformed_json'],
  ['a poisoned constructor', '{"constructor":{"prototype":{}}}', {}, 400, 'malformed_json'],
  ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), {}, 400, 'malformed_json'],
  ['a surrogate in raw bytes', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), {}, 400, 'malformed_json'],
  ['a NUL character', '{"title":"a\\u0000b"}', {}, 400, 'invalid_text'],
  ['a NUL character in a key', '{"metadata":{"a\\u0000":1}}', {}, 400, 'invalid_text'],
  ['a lone surrogate', '{"title":"\\ud800"}', {}, 400, 'invalid_text'],
  ['a lone surrogate far inside', '{"metadata":{"a":[{"b":["\\udc00"]}]}}', {}, 400, 'invalid_text'],
  [
    'another media type',
    'title=x',
    { 'content-type': 'application/x-www-form-urlencoded' },
    415,
    'unsupported_media_type',
  ],
  ['plain text', 'x', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
  ['no media type', 'x', { 'content-type': '' }, 415, 'unsupported_media_type'],
  ['nonsense for a media type', 'x', { 'content-type': ';;;' }, 415, 'unsupported_media_type'],
  [
    'another character set',
    '{}',
    { 'content-type': 'application/json; charset=utf-16' },
    415,
    'unsupported_media_type',
  ],
  ['a compressed body', '{}', { 'content-encoding': 'gzip' }, 415, 'unsupported_media_type'],
  [
    'a body above the limit',
    JSON.stringify({ title: 'x'.repeat(1024 * 1024) }),
    {},
    413,
    'payload_too_large',
  ],
  ['a number for a string', '{"title":5}', {}, 400, 'validation_failed'],
  ['a string for a number', '{"count":"5"}', {}, 400, 'validation_failed'],
  ['null where it may not be', '{"title":null}', {}, 400, 'validation_failed'],
  ['an array for an object', '[]', {}, 400, 'validation_failed'],
  ['no body at all', '', {}, 400, 'validation_failed'],
]

for (const [name, payload, headers, status, code] of cases) {
  test(`refused: ${name}`, async t => {
    const { send } = await open(t)
    const answer = await send(payload, headers)
    t.equal(answer.statusCode, status)
    t.equal(answer.json().code, code)
    t.equal(answer.headers['content-type'], 'application/problem+json')
  })
}

test('an escaped surrogate pair and an escaped backslash are text', async t => {
  const { send } = await open(t)
  t.equal((await send('{"title":"\\ud83c\\udf89"}')).json().body.title, '🎉')
  t.equal((await send('{"title":"\\\\u0000"}')).json().body.title, '\\u0000')
})

test('nesting deeper than any stack is read, and judged', async t => {
  const { send } = await open(t)
  const deep = `${'['.repeat(200_000)}"\\ud800"${']'.repeat(200_000)}`
  t.equal((await send(`{"metadata":{"a":${deep}}}`)).json().code, 'invalid_text')
})

test('a header without a body is no body', async t => {
  const { send } = await open(t)
  t.equal((await send('', {}, '/empty')).statusCode, 200)
})

test('a route without a body refuses one rather than drop it', async t => {
  const { app, send } = await open(t)
  t.equal((await app.inject({ method: 'POST', url: '/empty' })).statusCode, 200)
  t.equal((await send('{}', {}, '/empty')).statusCode, 200)
  const answer = await send('{"foo":1,"a/b":2}', {}, '/empty')
  t.equal(answer.statusCode, 400)
  t.equal(answer.json().code, 'validation_failed')
  t.strictSame(answer.json().errors, [
    { in: 'body', pointer: '/foo', code: 'additionalProperties', message: 'is not a known field' },
    { in: 'body', pointer: '/a~1b', code: 'additionalProperties', message: 'is not a known field' },
  ])
  for (const body of ['[]', '0', '""', 'null', 'false']) {
    const { statusCode, ...refused } = await send(body, {}, '/empty')
    t.equal(statusCode, 400, body)
    t.match(refused.json(), {
      code: 'validation_failed',
      errors: [{ pointer: '', message: 'must be object' }],
    })
  }
  t.equal((await send('{', {}, '/empty')).json().code, 'malformed_json')
  t.equal((await send('x', { 'content-type': 'text/plain' }, '/empty')).statusCode, 415)
  for (const method of ['PUT', 'PATCH', 'DELETE'] as const) {
    t.equal((await app.inject({ method, url: '/empty', payload: { foo: 1 } })).statusCode, 400, method)
  }
})

test('every fault is listed, with its place, across all parts of the request', async t => {
  const { send } = await open(t)
  const answer = await send(
    JSON.stringify({ title: '', price: '1.5', status: 'gone', color: 'red', tags: ['a', 5], 'a/b~c': 1 }),
    {},
    '/echo?page=0&all=maybe',
  )
  t.equal(answer.statusCode, 400)
  const { errors, detail } = answer.json()
  t.equal(detail, `${errors.length} fields are not valid.`)
  const found = errors.map((fault: Record<string, string>) => [
    fault.in,
    fault.pointer,
    fault.code,
    fault.message,
  ])
  t.strictSame(
    found.sort((one: string[], other: string[]) => (String(one) < String(other) ? -1 : 1)),
    [
      ['body', '/a~1b~0c', 'additionalProperties', 'is not a known field'],
      ['body', '/color', 'additionalProperties', 'is not a known field'],
      ['body', '/price', 'pattern', 'must be a decimal with two places'],
      ['body', '/status', 'enum', 'must be one of draft, published'],
      ['body', '/tags/1', 'type', 'must be string'],
      ['body', '/title', 'minLength', 'must NOT have fewer than 1 characters'],
      ['query', '/all', 'type', 'must be boolean'],
      ['query', '/page', 'minimum', 'must be >= 1'],
    ],
  )
})

test('a single fault is told in the singular, and no more than fifty are listed', async t => {
  const { app, send } = await open(t)
  const one = await app.inject('/find/not-a-uuid')
  t.equal(one.json().detail, 'One field is not valid.')
  t.strictSame(one.json().errors, [
    { in: 'path', pointer: '/id', code: 'format', message: 'must match format "uuid"' },
  ])
  const many = await send(
    JSON.stringify(Object.fromEntries(Array.from({ length: 80 }, (_, index) => [`x${index}`, 1]))),
  )
  t.equal(many.json().errors.length, 50)
  t.equal(many.json().detail, '80 fields are not valid.')
})

test('a large body with countless faults is refused by its first', async t => {
  const { send } = await open(t)
  const answer = await send(JSON.stringify({ title: '', tags: Array.from({ length: 100_000 }, () => 1) }))
  t.equal(answer.statusCode, 400)
  t.equal(answer.json().errors.length, 1)
  const [named] = (await send(JSON.stringify({ ['x'.repeat(10_000)]: 1 }))).json().errors
  t.equal(named.pointer.length, 201)
})

test('values of a URL are coerced', async t => {
  const { app } = await open(t)
  const id = '01890a5d-ac96-774b-bcce-b302099a8057'
  const coerced = await app.inject(`/find/${id}?page=2&all=true&types=a&search=%25_%5C`)
  t.strictSame(coerced.json(), { page: 2, all: true, types: ['a'], search: '%_\\' })
  t.strictSame((await app.inject(`/find/${id}?types=a&types=b`)).json(), { types: ['a', 'b'] })
  for (const wrong of ['page=', 'page=1&page=2', 'page=1.5', 'page=1e999', 'all=2']) {
    t.equal((await app.inject(`/find/${id}?${wrong}`)).json().code, 'validation_failed', wrong)
  }
})

test('a URL that cannot be decoded is refused', async t => {
  const { app } = await open(t)
  const wrong: Record<string, string> = {
    '/health?x=%00': 'invalid_text',
    '/problems/a%00b': 'invalid_text',
    '/no/such%00path': 'invalid_text',
    '/health?x=%zz': 'malformed_request',
    '/health?x=%ff': 'malformed_request',
    '/health?x=%ed%a0%80': 'malformed_request',
    '/problems/%zz': 'malformed_request',
  }
  for (const [url, code] of Object.entries(wrong)) {
    const answer = await app.inject(url)
    t.equal(answer.statusCode, 400, url)
    t.equal(answer.json().code, code, url)
    t.equal(answer.headers['x-request-id'], answer.json().request_id)
  }
  t.equal((await app.inject(`/problems/${'x'.repeat(501)}`)).json().code, 'uri_too_long')
})
