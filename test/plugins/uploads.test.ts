import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { type Test, test } from 'tap'
import { type Upload, uploadOf } from '../../src/plugins/uploads.ts'
import { type build, listen, probe } from '../helper.ts'
import { endless } from '../lib/chunks.ts'
import { filesOpenAs } from '../lib/open-files.ts'

const types = { 'application/x-ndjson': 'One thing a line.', 'text/csv': 'A header and one thing a row.' }
const limit_bytes = 300_000

/** What the routes below did, and what they wait for. */
function routesOf() {
  const taken: Upload[] = []
  const waiting = new EventEmitter()
  let go = Promise.resolve()
  return {
    taken,
    /** Requests with `X-Check` that wait before the handler, as what lets them go on. */
    nextCheck: async () => (await once(waiting, 'check'))[0] as () => void,
    hold() {
      let release = () => {}
      go = new Promise(resolve => {
        release = resolve
      })
      return () => release()
    },
    routes: (async app => {
      const { config, schema } = probe('upload', {
        querystring: Type.Object({ fail: Type.Optional(Type.Boolean()) }),
      })
      const preHandler = ({ headers }: FastifyRequest, _reply: unknown, done: (error?: Error) => void) => {
        const check = headers['x-check']
        if (check === undefined) return done()
        waiting.emit('check', () => done(check === 'refused' ? new Error(check) : undefined))
      }
      const options = { preHandler, schema, config: { ...config, upload: { types, limit_bytes } } }
      app.post<{ Querystring: { fail?: boolean } }>('/upload', options, async request => {
        const upload = uploadOf(request)
        taken.push(upload)
        await go
        if (request.query.fail) throw new Error('of the handler')
        const digests = [await digest(upload), await digest(upload)]
        const { bytes, media_type } = upload
        return { bytes, media_type, digests, known: request.bodyDigest?.toString('hex') ?? null }
      })
      app.post('/json', probe('json'), async () => ({}))
    }) as NonNullable<NonNullable<Parameters<typeof build>[1]>['routes']>,
  }
}

async function digest(upload: Upload) {
  const hash = createHash('sha256')
  for await (const chunk of upload) hash.update(chunk)
  return hash.digest('hex')
}

const sha256 = (text: string | Buffer) => createHash('sha256').update(text).digest('hex')

const openUploads = () => filesOpenAs('.upload').length

/** Files are closed a moment after the answer. */
async function allClosed(t: Test) {
  for (let tries = 0; openUploads() > 0 && tries < 100; tries++) await sleep(10)
  t.equal(openUploads(), 0, 'no file is left open')
}

type Body = NonNullable<NonNullable<Parameters<typeof fetch>[1]>['body']> | null

const jsonOf = async (answer: Response) => (await answer.json()) as Record<string, unknown>

const csv = { 'content-type': 'text/csv' }

async function open(t: Test) {
  const { routes, ...rest } = routesOf()
  const { app, url, port } = await listen(t, { routes })
  const send = (body: Body, headers: Record<string, string> = csv, query = '') =>
    fetch(`${url}/upload${query}`, { method: 'POST', body, headers, duplex: 'half' } as RequestInit)
  return { app, url, port, send, ...rest }
}

const stream = (bytes: number) => ReadableStream.from(endless('x', bytes)) as unknown as Body

test('what was sent is there, as often as it is read', async t => {
  const { send, taken } = await open(t)
  const text = 'a,b\n'.repeat(50_000)
  for (const type of ['text/csv', 'application/x-ndjson', 'Text/CSV; charset="UTF-8"; header=present']) {
    const answer = await send(text, { 'content-type': type })
    const media_type = type.split(';')[0]?.toLowerCase()
    const expected = { bytes: text.length, media_type, digests: [sha256(text), sha256(text)], known: null }
    t.strictSame(await jsonOf(answer), expected)
  }
  const chunked = await send(stream(262_144))
  t.equal((await jsonOf(chunked)).bytes, 262_144)
  t.equal(taken.length, 4)
  await allClosed(t)
})

test('nothing is a file of no bytes', async t => {
  const { send } = await open(t)
  t.match(await jsonOf(await send(null)), { bytes: 0, digests: [sha256(''), sha256('')] })
  t.match(await jsonOf(await send(stream(0))), { bytes: 0 })
  await allClosed(t)
})

test('under a key, the digest of the bytes is known', async t => {
  const { send } = await open(t)
  const answer = await send('a,b', { ...csv, 'idempotency-key': 'k' })
  t.equal((await jsonOf(answer)).known, sha256('a,b'))
})

const refusals: [string, Record<string, string>][] = [
  ['JSON', { 'content-type': 'application/json' }],
  ['another type', { 'content-type': 'text/plain' }],
  ['a type that is longer', { 'content-type': 'text/csvx' }],
  ['a word that objects know', { 'content-type': 'constructor' }],
  ['another character set', { 'content-type': 'text/csv; charset=iso-8859-1' }],
  ['a compressed file', { ...csv, 'content-encoding': 'gzip' }],
]

for (const [name, headers] of refusals) {
  test(`refused as 415: ${name}`, async t => {
    const { send, taken } = await open(t)
    const answer = await send('{}', headers)
    const { code } = await jsonOf(answer)
    t.strictSame([answer.status, code], [415, 'unsupported_media_type'])
    t.equal(taken.length, 0)
    await allClosed(t)
  })
}

test('refused as 415: no type at all, with a body and without', async t => {
  const { app } = await open(t)
  for (const payload of ['a,b', undefined]) {
    const answer = await app.inject({ method: 'POST', url: '/upload', ...(payload && { payload }) })
    t.equal(answer.statusCode, 415)
  }
})

test('elsewhere nobody reads files', async t => {
  const { app } = await open(t)
  for (const url of ['/json', '/api/v1/auth/login']) {
    t.equal((await app.inject({ method: 'POST', url, headers: csv, payload: 'a,b' })).statusCode, 415)
  }
  t.equal((await app.inject({ method: 'POST', url: '/nowhere', headers: csv, payload: 'a' })).statusCode, 404)
})

test('too large is 413, announced or not, and whoever sends it reads why', async t => {
  const { send, taken } = await open(t)
  for (const body of ['x'.repeat(limit_bytes + 1), stream(limit_bytes + 65_536), stream(20_000_000)]) {
    const answer = await send(body)
    const { code, detail } = await jsonOf(answer)
    t.strictSame([answer.status, code], [413, 'payload_too_large'])
    t.match(String(detail), /300000 bytes/)
  }
  t.equal((await send('x'.repeat(limit_bytes))).status, 200)
  t.equal(taken.length, 1)
  await allClosed(t)
})

test('whoever never stops sending is told, and cut off', async t => {
  const { port } = await open(t)
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  let answer = ''
  socket.on('data', data => {
    answer += data
  })
  socket.write(
    'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
  const chunk = `2710\r\n${'x'.repeat(10_000)}\r\n`
  for (const started = performance.now(); !socket.closed && performance.now() - started < 5000; ) {
    if (socket.writable) socket.write(chunk)
    await sleep(5)
  }
  t.ok(socket.closed)
  t.match(answer, /^HTTP\/1\.1 413 /)
  socket.destroy()
})

const head = 'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n'

for (const [name, request] of [
  ['of a known length', `${head}Content-Length: 1000\r\n\r\na,b\n`],
  ['in chunks', `${head}Transfer-Encoding: chunked\r\n\r\n4\r\na,b\n\r\n`],
] as const) {
  test(`a sender who goes in the middle, ${name}, has sent nothing`, async t => {
    const { port, taken } = await open(t)
    const socket = connect(port, '127.0.0.1')
    socket.write(request)
    for (let tries = 0; openUploads() === 0 && tries < 100; tries++) await sleep(10)
    t.equal(openUploads(), 1, 'it was being received')
    socket.destroy()
    await allClosed(t)
    t.equal(taken.length, 0)
  })
}

test('a body that ends too early is told from one that is whole', async t => {
  const { port } = await open(t)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.end(`${head}Content-Length: 1000\r\n\r\na,b\n`)
  let answer = ''
  for await (const data of socket) answer += data
  t.match(answer, /^HTTP\/1\.1 400 [\s\S]*malformed_request/)
  await allClosed(t)
})

test('a sender who goes while his upload is being read does not take it away', async t => {
  const { port, taken, hold } = await open(t)
  const release = hold()
  const socket = connect(port, '127.0.0.1')
  socket.write(`${head}Content-Length: 4\r\n\r\na,b\n`)
  while (taken.length === 0) await sleep(10)
  socket.destroy()
  await sleep(50)
  t.equal(openUploads(), 1)
  t.equal(await digest(taken[0] as Upload), sha256('a,b\n'))
  release()
  await allClosed(t)
})

test('a file is closed whatever fails, and makes way for others', async t => {
  const { send, taken } = await open(t)
  const failures: [Body, string, number][] = [
    ['a,b', '?fail=perhaps', 400],
    ['x'.repeat(limit_bytes + 1), '', 413],
    [stream(limit_bytes + 1), '', 413],
    ['a,b', '?fail=true', 500],
  ]
  for (const [body, query, status] of failures) {
    // Once more than there are places, but what is a stream can be sent only once.
    for (let turn = 0; turn < 9; turn++) {
      const again = body instanceof ReadableStream ? stream(limit_bytes + 1) : body
      t.equal((await send(again, csv, query)).status, status)
    }
    t.equal(openUploads(), 0)
  }
  t.equal(taken.length, 9)
  t.equal((await send('a,b')).status, 200)
})

test('a sender who goes before his upload is looked at leaves no file, whatever comes then', async t => {
  for (const outcome of ['refused', 'handled']) {
    const { app, port, taken, nextCheck } = await open(t)
    const check = nextCheck()
    const socket = connect(port, '127.0.0.1')
    socket.write(`${head}X-Check: ${outcome}\r\nContent-Length: 4\r\n\r\na,b\n`)
    const goOn = await check
    t.equal(openUploads(), 1)
    socket.destroy()
    await allClosed(t)
    goOn()
    await app.close()
    t.equal(taken.length, 0, outcome)
  }
})

test('whoever reads only when all is sent, reads why it was not taken', async t => {
  const { port } = await open(t)
  const socket = connect(port, '127.0.0.1')
  socket.pause()
  socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`)
  for (let sent = 0; sent < 5_000_000; sent += 10_000) {
    if (!socket.write(`2710\r\n${'x'.repeat(10_000)}\r\n`)) await once(socket, 'drain')
  }
  socket.write('0\r\n\r\n')
  await sleep(50)
  let answer = ''
  for await (const data of socket) answer += data
  t.match(answer, /^HTTP\/1\.1 413 /)
  await allClosed(t)
})

test('of twenty at once, four are taken, and the others told to come back', async t => {
  const { send, taken, hold } = await open(t)
  for (const round of [1, 2]) {
    const release = hold()
    const refused: Response[] = []
    const answers = Array.from({ length: 20 }, () => send(stream(65_536)))
    for (const answer of answers) void answer.then(response => refused.push(response))
    for (let tries = 0; refused.length + taken.length < 20 && tries < 1000; tries++) await sleep(10)
    t.equal(taken.splice(0).length, 4, `round ${round}`)
    t.equal(openUploads(), 4)
    const [first] = refused
    t.match([first?.status, first?.headers.get('retry-after')], [503, /^\d+$/])
    release()
    const statuses = (await Promise.all(answers)).map(({ status }) => status)
    t.strictSame(statuses.sort(), [...Array(4).fill(200), ...Array(16).fill(503)])
    await allClosed(t)
  }
})

test('the document shows what may be sent, and what may go wrong', async t => {
  const { app } = await open(t)
  const document = (await app.inject('/openapi.json')).json()
  const { requestBody, responses } = document.paths['/upload'].post
  const file = (description: string) => ({ schema: { type: 'string', description } })
  t.strictSame(requestBody, {
    required: true,
    content: {
      'application/x-ndjson': file(types['application/x-ndjson']),
      'text/csv': file(types['text/csv']),
    },
  })
  for (const status of ['400', '413', '415', '503']) t.ok(responses[status], status)
  t.notMatch(responses['400'].$ref, /MalformedJson/)
})
