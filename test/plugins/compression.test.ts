import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { type Test, test } from 'tap'
import { CHEAP, newcomer } from '../domains/auth/people.ts'
import { aUser, build, listen, probe } from '../helper.ts'

const ETAG = '"thing-3"'
const LEAST = 1024
const AS_BR = { 'accept-encoding': 'gzip, deflate, br' }
const AS_GZIP = { 'accept-encoding': 'gzip' }

const text = (length: number) => 'compressible '.repeat(length / 13 + 1).slice(0, length)

interface Answer {
  headers: Record<string, unknown>
  rawPayload: Buffer
}

function decoded({ headers, rawPayload }: Answer): string {
  const encoding = headers['content-encoding']
  const bytes =
    encoding === 'br'
      ? brotliDecompressSync(rawPayload)
      : encoding === 'gzip'
        ? gunzipSync(rawPayload)
        : rawPayload
  return bytes.toString()
}

/** A service that answers what it is told to next. */
async function answerer(t: Test, config: object = {}) {
  let send: (reply: FastifyReply) => unknown = reply => reply.send()
  const { schema, ...rest } = probe('answer')
  const app = await build(t, {
    routes: async scope => {
      scope.get('/', { schema, config: { ...rest.config, ...config } }, async (_request, reply) =>
        send(reply),
      )
    },
  })
  return (payload: () => unknown, headers: Record<string, string> = {}, status = 200) => {
    send = reply =>
      reply
        .code(status)
        .headers({ 'content-type': 'application/json', ...headers })
        .send(payload())
    return (given: Record<string, string> = AS_BR, method: 'GET' | 'HEAD' = 'GET') =>
      app.inject({ method, url: '/', headers: given })
  }
}

test('an answer of 1 KiB is compressed, a smaller one is not', async t => {
  const answering = await answerer(t)
  for (const [body, size] of [
    [text(LEAST - 1), LEAST - 1],
    [text(LEAST), LEAST],
    ['€'.repeat(341), LEAST - 1],
    [`${'€'.repeat(341)}x`, LEAST],
  ] as const) {
    for (const payload of [body, Buffer.from(body)]) {
      const ask = answering(() => payload)
      for (const [headers, encoding] of [
        [AS_BR, 'br'],
        [AS_GZIP, 'gzip'],
      ] as const) {
        const answer = await ask(headers)
        const expected = size < LEAST ? undefined : encoding
        t.equal(answer.headers['content-encoding'], expected, `${size} bytes`)
        t.equal(decoded(answer), body)
        t.equal(answer.headers['content-length'], String(answer.rawPayload.length))
        t.equal(/accept-encoding/i.test(String(answer.headers.vary)), size >= LEAST)
        if (expected) t.ok(answer.rawPayload.length < LEAST / 4)
      }
    }
  }
})

test('large ones too, aside', async t => {
  const answering = await answerer(t)
  const body = text(300_000)
  const ask = answering(() => body, { etag: ETAG })
  for (const [headers, encoding] of [
    [AS_BR, 'br'],
    [AS_GZIP, 'gzip'],
  ] as const) {
    const answer = await ask(headers)
    t.match(answer.headers, { 'content-encoding': encoding, etag: `"thing-3-${encoding}"` })
    t.equal(decoded(answer), body)
    t.equal(answer.headers['content-length'], String(answer.rawPayload.length))
  }
  const many = await Promise.all(Array.from({ length: 10 }, () => ask(AS_GZIP)))
  for (const answer of many) t.equal(decoded(answer), body)
  const encodings = many.map(({ headers }) => headers['content-encoding'])
  t.ok(
    encodings.includes('gzip') && encodings.includes(undefined),
    'more than there is room for go as they are',
  )
  t.ok(many.every(({ headers }) => /Accept-Encoding/.test(String(headers.vary))))
  t.equal((await ask()).headers['content-encoding'], 'br', 'and the room is free again')
})

test('what is always the same is compressed once', async t => {
  const answering = await answerer(t, { constant: true })
  const bytes = Buffer.from(text(300_000))
  const ask = answering(() => bytes)
  const many = await Promise.all(Array.from({ length: 10 }, () => ask()))
  for (const answer of many) {
    t.equal(answer.headers['content-encoding'], 'br')
    t.ok(answer.rawPayload.equals(many[0]?.rawPayload ?? Buffer.alloc(0)))
    t.equal(decoded(answer), bytes.toString())
  }
  t.equal(decoded(await ask(AS_GZIP)), bytes.toString())
  const app = await build(t)
  const plain = await app.inject('/openapi.json')
  const document = await app.inject({ url: '/openapi.json', headers: AS_BR })
  t.equal(decoded(document), plain.body)
  t.ok(document.rawPayload.length < plain.rawPayload.length / 9)
})

test('only where it helps and nothing forbids it', async t => {
  const answering = await answerer(t)
  const types: [string, boolean][] = [
    ['application/json; charset=utf-8', true],
    ['application/problem+json', true],
    ['application/x-ndjson', true],
    ['text/csv; charset=utf-8', true],
    ['text/html', true],
    ['text/css', true],
    ['text/javascript', true],
    ['application/javascript', true],
    ['image/svg+xml', true],
    ['text/plain; version=0.0.4', true],
    ['TEXT/PLAIN', true],
    ['text/event-stream', false],
    ['image/png', false],
    ['application/octet-stream', false],
    ['font/woff2', false],
  ]
  for (const [type, compressed] of types) {
    const ask = answering(() => Buffer.from(text(2000)), { 'content-type': type })
    const { headers } = await ask()
    t.equal(headers['content-encoding'] === 'br', compressed, type)
    t.equal(/accept-encoding/i.test(String(headers.vary)), compressed, type)
  }
  const headers = [
    { 'content-encoding': 'deflate' },
    { 'cache-control': 'private, no-transform' },
    { 'set-cookie': 'a=b' },
  ]
  for (const given of headers) {
    const ask = answering(() => text(2000), given)
    const answer = await ask()
    t.equal(answer.headers['content-encoding'], given['content-encoding'])
    t.equal(answer.body, text(2000))
  }
  const part = await answering(() => text(2000), {}, 206)()
  t.equal(part.headers['content-encoding'], undefined)
})

test('HEAD has the headers of GET, as far as they are known', async t => {
  const answering = await answerer(t)
  for (const [body, large] of [
    [text(5000), true],
    [text(100), false],
  ] as const) {
    const ask = answering(() => body, { etag: ETAG })
    for (const headers of [AS_BR, AS_GZIP, {}]) {
      const { date: _1, 'x-request-id': _2, ...got } = (await ask(headers)).headers
      const head = await ask(headers, 'HEAD')
      t.equal(head.body, '')
      const { date: _3, 'x-request-id': _4, ...told } = head.headers
      if (large && 'accept-encoding' in headers) delete got['content-length']
      t.strictSame(told, got)
    }
  }
  const stream = answering(() => Readable.from([text(5000)], { objectMode: false }))
  t.match((await stream(AS_GZIP, 'HEAD')).headers, { 'content-encoding': 'gzip', vary: /Accept-Encoding/ })
})

test('a range is of the bytes as they are', async t => {
  const answering = await answerer(t)
  const ask = answering(() => text(2000), { 'accept-ranges': 'bytes' })
  t.notOk('accept-ranges' in (await ask()).headers)
  t.equal((await ask({})).headers['accept-ranges'], 'bytes')
})

test('Vary is added to, never replaced', async t => {
  const answering = await answerer(t)
  const cases: [string, string][] = [
    ['Origin', 'Origin, Accept-Encoding'],
    ['Accept', 'Accept, Accept-Encoding'],
    ['accept-encoding', 'accept-encoding'],
    ['Origin, Accept-Encoding', 'Origin, Accept-Encoding'],
    ['*', '*'],
  ]
  for (const [vary, expected] of cases) {
    const ask = answering(() => text(2000), { vary })
    for (const headers of [AS_BR, {}]) t.equal((await ask(headers)).headers.vary, expected)
  }
  const app = await build(t)
  const { headers } = await app.inject({
    url: '/openapi.json',
    headers: { ...AS_BR, origin: 'http://localhost:5173' },
  })
  t.equal(headers.vary, 'Origin, Accept-Encoding')
})

test('a tag names one encoding, and 304 the one that the caller has', async t => {
  const id = '0192f0c1-6a4b-7c3d-8e5f-0123456789ab'
  const { schema, config } = probe('getThing')
  const app = await build(t, {
    routes: async scope => {
      scope.get('/', { schema, config: { ...config, versioned: true } }, async () => ({
        id,
        version: 3,
        text: text(2000),
      }))
    },
  })
  const ask = (headers: Record<string, string>) => app.inject({ url: '/', headers })
  t.equal((await ask({})).headers.etag, `"${id}-3"`)
  t.equal((await ask(AS_BR)).headers.etag, `"${id}-3-br"`)
  t.equal((await ask(AS_GZIP)).headers.etag, `"${id}-3-gzip"`)
  const known = await ask({ ...AS_BR, 'if-none-match': `"${id}-3"` })
  t.equal(known.statusCode, 304)
  t.match(known.headers, { etag: `"${id}-3"`, vary: 'Origin, Accept-Encoding' })
  t.notOk('content-encoding' in known.headers)
  const either = await ask({ ...AS_BR, 'if-none-match': `"${id}-3", "${id}-3-br"` })
  t.match(either, { statusCode: 304, headers: { etag: `"${id}-3-br"` } })
})

test('problems are compressed like anything else', async t => {
  const app = await build(t, { variables: CHEAP })
  const payload = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`unknown_field_${index}`, 1]))
  const { headers: own } = await aUser(app)
  const answer = await app.inject({
    method: 'POST',
    url: '/api/v1/items',
    headers: { ...AS_BR, ...own },
    payload,
  })
  t.equal(answer.statusCode, 400)
  t.match(answer.headers, { 'content-encoding': 'br', 'content-type': 'application/problem+json' })
  t.equal(JSON.parse(decoded(answer)).code, 'validation_failed')
})

test('an answer under an idempotency key is kept as it is, and compressed for whoever can read it', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const send = (more: Record<string, string>) =>
    app.inject({
      method: 'POST',
      url: '/api/v1/items',
      headers: { ...headers, 'idempotency-key': 'once', ...more },
      payload: { title: 'Lamp', description: text(3000) },
    })
  const first = await send(AS_BR)
  t.equal(first.headers['content-encoding'], 'br')
  for (const more of [AS_BR, AS_GZIP, {}]) {
    const again = await send(more)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.equal(decoded(again), decoded(first))
    t.equal(
      again.headers['content-encoding'] ?? 'none',
      more === AS_BR ? 'br' : more === AS_GZIP ? 'gzip' : 'none',
    )
  }
})

test('a stream is compressed as it comes', async t => {
  const lines = Array.from({ length: 5000 }, (_, index) => `{"line":${index}}\n`)
  const { url } = await listening(t, () => Readable.from(lines, { objectMode: false }))
  for (const headers of [AS_BR, AS_GZIP]) {
    const answer = await ask(url, headers)
    t.notOk('content-length' in answer.headers)
    t.match(answer.headers.vary, /Accept-Encoding/)
    const rawPayload = await buffer(answer)
    t.equal(decoded({ headers: answer.headers, rawPayload }), lines.join(''))
    t.ok(rawPayload.length < lines.join('').length / 4)
  }
  t.equal((await buffer(await ask(url, {}))).toString(), lines.join(''))
})

test('a stream that breaks off breaks off when it is compressed, too', async t => {
  async function* broken() {
    // So much, and so hard to compress, that something is on its way.
    for (let count = 0; count < 200; count++) yield randomBytes(10_000).toString('base64')
    throw new Error('The database went away.')
  }
  const { url } = await listening(t, () => Readable.from(broken(), { objectMode: false }))
  for (const headers of [AS_BR, AS_GZIP, {}]) {
    const answer = await ask(url, headers)
    t.equal(answer.statusCode, 200)
    await t.rejects(buffer(answer), { code: 'ECONNRESET' })
    t.notOk(answer.complete)
  }
})

test('a stream that fails before its first byte is a problem that can be read', async t => {
  const { url } = await listening(
    t,
    () =>
      new Readable({
        read() {
          this.destroy(new Error('It never began.'))
        },
      }),
  )
  for (const headers of [AS_BR, {}]) {
    const answer = await ask(url, headers)
    t.equal(answer.statusCode, 500)
    t.notOk('content-encoding' in answer.headers)
    t.equal(JSON.parse((await buffer(answer)).toString()).code, 'internal')
  }
})

test('whoever goes away ends what is read for them', async t => {
  const endless = () =>
    new Readable({
      read() {
        this.push(Math.random().toString(36).repeat(1000))
      },
    })
  const sources: Readable[] = []
  const { url } = await listening(t, () => {
    const source = endless()
    sources.push(source)
    return source
  })
  for (const headers of [AS_BR, AS_GZIP]) {
    const answer = await ask(url, headers)
    await once(answer, 'data')
    const [source] = sources.splice(0)
    answer.destroy()
    if (source && !source.destroyed) await new Promise(done => source.once('close', done))
    t.ok(source?.destroyed)
  }
})

test('a body that comes compressed is refused, so that none can unfold to more than it seems', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  for (const [url, type] of [
    ['/api/v1/items', 'application/json'],
    ['/api/v1/items/import', 'text/csv'],
  ] as const) {
    const answer = await app.inject({
      method: 'POST',
      url,
      headers: { ...headers, 'content-type': type, 'content-encoding': 'gzip' },
      payload: Buffer.from('x'),
    })
    t.equal(answer.statusCode, 415, url)
  }
})

test('what holds a secret is never compressed', async t => {
  const answering = await answerer(t, { secret: true })
  const secret = answering(() => text(5000))
  const answer = await secret()
  t.notOk('content-encoding' in answer.headers)
  t.equal(answer.body, text(5000))
  const app = await build(t, { variables: CHEAP })
  const person = newcomer()
  const registered = await app.inject({
    method: 'POST',
    url: '/api/v1/auth/register',
    headers: { ...AS_BR, 'idempotency-key': 'r' },
    payload: { ...person, cookie: false },
  })
  const headers = { ...AS_BR, authorization: `Bearer ${registered.json().access_token}` }
  const enrolled = await app.inject({ method: 'POST', url: '/api/v1/auth/mfa/totp', headers })
  t.ok(enrolled.rawPayload.length > LEAST, 'it would be worth it')
  for (const each of [registered, enrolled]) t.notOk('content-encoding' in each.headers)
})

/** Every operation whose answers hold one. */
const SECRETS = [
  'register',
  'login',
  'verifyMfa',
  'refresh',
  'logout',
  'enrolTotp',
  'confirmTotp',
  'replaceRecoveryCodes',
  'createApiKey',
  'rotateApiKey',
  'createWebhook',
  'rotateWebhookSecret',
]

/** What sounds like one in other answers: a job's key says which others it stands for. */
const HARMLESS = ['listJobs', 'retryJob']

test('the operations whose answers hold a secret say so', async t => {
  const app = await build(t, { routes: fp(tellSecret) })
  const marked: string[] = []
  const sounding: string[] = []
  const { paths = {}, components } = app.swagger() as { paths?: object; components?: object }
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, { operationId, responses }] of Object.entries<Operation>(item)) {
      const url = path.replace(/\{\w+\}/g, 'x')
      const { headers } = await app.inject({ method: method as 'get', url })
      if (headers['x-secret'] === 'true') marked.push(operationId)
      if (namesIn(responses, components).some(name => SOUNDING.test(name))) sounding.push(operationId)
    }
  }
  t.strictSame(marked.sort(), SECRETS.sort())
  t.strictSame(sounding.filter(name => !HARMLESS.includes(name)).sort(), SECRETS.sort())
})

const SOUNDING = /token$|secret$|password|^key$|api_key$|recovery|otpauth|qr_|^Set-Cookie$/

interface Operation {
  operationId: string
  responses: object
}

/** Answers what a route says of itself, instead of what it does. */
async function tellSecret(app: FastifyInstance) {
  app.addHook('onRequest', async (request, reply) =>
    reply.header('x-secret', String(request.routeOptions.config.secret)).code(204).send(),
  )
}

/** Of all fields and headers of successes, wherever they are defined. */
function namesIn(node: unknown, components: object | undefined, seen = new Set<string>()): string[] {
  if (typeof node !== 'object' || node === null) return []
  return Object.entries(node).flatMap(([name, value]) => {
    if (name !== '$ref') return [...(isNamed(node) ? [] : [name]), ...namesIn(value, components, seen)]
    const [, kind = '', id = ''] = /^#\/components\/(\w+)\/(.+)$/.exec(value) ?? []
    if (seen.has(id) || kind !== 'schemas') return []
    seen.add(id)
    return namesIn((components as Record<string, Record<string, unknown>>)[kind]?.[id], components, seen)
  })
}

/** Keywords of a schema are no names of fields. */
const isNamed = (node: object) => 'type' in node && typeof node.type === 'string'

function listening(t: Test, source: () => Readable) {
  const { schema, config } = probe('stream')
  return listen(t, {
    routes: async scope => {
      scope.get('/', { schema, config }, async (_request, reply) =>
        reply.type('application/x-ndjson').send(source()),
      )
    },
  })
}

async function ask(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  const [answer] = await once(get(url, { headers, agent: false }), 'response')
  return answer
}
