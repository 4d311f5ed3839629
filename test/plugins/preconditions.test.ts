import { once } from 'node:events'
import { connect } from 'node:net'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { test } from 'tap'
import { NO_PRECONDITION, type Precondition } from '../../src/lib/precondition.ts'
import { Forbidden } from '../../src/lib/problems.ts'
import { nothing } from '../../src/lib/schema.ts'
import { build, listen, probe, signedIn } from '../helper.ts'

const id = '0192f0c1-6a4b-7c3d-8e5f-0123456789ab'
const etag = `"${id}-3"`
const next = `"${id}-4"`
const thing = { id, version: 3, name: 'thing' }

const tagged = { 'access-control-expose-headers': /ETag/ }

/** Routes that say what they were told to suppose. */
function thingRoutes() {
  const handled: Precondition[] = []
  const routes: FastifyPluginAsyncTypebox = async app => {
    const response = { 200: Type.Object({ id: Type.String(), version: Type.Integer(), name: Type.String() }) }
    const params = Type.Object({ id: Type.String() })
    const config = { access: 'public' as const, versioned: true as const }
    const thingProbe = (name: string, versioned: true | 'optional' = true) => ({
      ...probe(name, { params, response }),
      config: { ...config, versioned },
    })
    const createThing = {
      ...probe('createThing', { response: { 201: response[200] } }),
      config: { ...config, versioned: 'answer' as const },
    }
    app.get('/things/:id', thingProbe('getThing'), async (_request, reply) => {
      reply.header('cache-control', 'no-cache').header('vary', 'Origin, Accept')
      return thing
    })
    for (const method of ['PATCH', 'PUT', 'DELETE'] as const) {
      app.route({
        method,
        url: '/things/:id',
        ...thingProbe(`${method.toLowerCase()}Thing`),
        handler: async ({ precondition }) => {
          handled.push(precondition)
          return { ...thing, version: 4 }
        },
      })
    }
    app.post('/things/:id/restore', thingProbe('restoreThing', 'optional'), async ({ precondition }) => {
      handled.push(precondition)
      return { ...thing, version: 4 }
    })
    app.post('/things', createThing, async ({ precondition }, reply) => {
      handled.push(precondition)
      return reply.code(201).send({ ...thing, version: 1 })
    })
    app.get('/plain', probe('plain'), async ({ precondition }) => {
      handled.push(precondition)
      return thing
    })
    app.get('/refused', { ...probe('refused'), config }, async () => {
      throw new Forbidden('No.')
    })
    app.get('/list', { ...probe('list'), config }, async () => ({ data: [thing] }))
    app.get('/nothing', { ...probe('nothing', { response: { 204: nothing('-') } }), config }, (_r, reply) => {
      reply.code(204).send()
    })
    const guarded = { access: { roles: ['admin' as const] }, versioned: true as const }
    app.patch('/guarded', { ...probe('guarded', { response }), config: guarded }, async () => thing)
    const headers = Type.Object({ 'x-own': Type.String({ minLength: 3 }) })
    app.patch('/own', { ...probe('own', { headers, response }), config }, async () => thing)
  }
  return { handled, routes }
}

test('an answer that is a version says which one', async t => {
  const app = await build(t, { routes: thingRoutes().routes })
  const url = `/things/${id}`
  t.equal((await app.inject(url)).headers.etag, etag)
  t.strictSame((await app.inject(url)).json(), thing)
  for (const method of ['PATCH', 'PUT', 'DELETE'] as const) {
    t.equal((await app.inject({ method, url })).headers.etag, next, method)
  }
  t.equal((await app.inject({ method: 'POST', url: `${url}/restore` })).headers.etag, next)
  const created = await app.inject({ method: 'POST', url: '/things' })
  t.equal(created.statusCode, 201)
  t.equal(created.headers.etag, `"${id}-1"`)
  for (const other of ['/refused', '/nothing']) {
    t.notOk('etag' in (await app.inject(other)).headers, other)
  }
})

test('who has the version is spared the answer', async t => {
  const app = await build(t, { routes: thingRoutes().routes })
  const ask = (value: string, method: 'GET' | 'HEAD' = 'GET') =>
    app.inject({ method, url: `/things/${id}`, headers: { 'if-none-match': value } })
  for (const value of [etag, `W/${etag}`, '*', `"a,b", ${etag}`, `${next},${etag}`]) {
    const answer = await ask(value)
    t.equal(answer.statusCode, 304, value)
    t.equal(answer.body, '')
  }
  for (const value of [next, `"x,${id}-3"`, '"*"']) {
    const answer = await ask(value)
    t.equal(answer.statusCode, 200, value)
    t.strictSame(answer.json(), thing)
  }
  t.equal((await ask(etag, 'HEAD')).statusCode, 304)
  const head = await ask(next, 'HEAD')
  t.equal(head.statusCode, 200)
  t.equal(head.headers['content-length'], String(JSON.stringify(thing).length))
  t.equal(head.headers.etag, etag)
  t.equal((await app.inject({ url: '/refused', headers: { 'if-none-match': '*' } })).statusCode, 403)
})

test('who wants to read one version and no other is not given another', async t => {
  const app = await build(t, { routes: thingRoutes().routes })
  const ask = (headers: Record<string, string>) => app.inject({ url: `/things/${id}`, headers })
  t.equal((await ask({ 'if-match': etag })).statusCode, 200)
  t.equal((await ask({ 'if-match': '*' })).statusCode, 200)
  for (const value of [next, `W/${etag}`]) {
    const answer = await ask({ 'if-match': value, 'if-none-match': etag })
    t.equal(answer.statusCode, 412, 'If-Match is looked at first')
    t.equal(answer.json().code, 'precondition_failed')
    t.notOk('etag' in answer.headers)
  }
  t.equal((await ask({ 'if-match': etag, 'if-none-match': etag })).statusCode, 304)
})

test('a 304 has the headers that a cache needs, and nothing behind them', async t => {
  const { port } = await listen(t, { routes: thingRoutes().routes })
  for (const method of ['GET', 'HEAD']) {
    const socket = connect(port, '127.0.0.1')
    const headers = `Host: x\r\nOrigin: http://localhost:1\r\nIf-None-Match: ${next}\r\nIf-None-Match: ${etag}\r\nConnection: close`
    socket.write(`${method} /things/${id} HTTP/1.1\r\n${headers}\r\n\r\n`)
    let text = ''
    socket.setEncoding('latin1').on('data', chunk => {
      text += chunk
    })
    await once(socket, 'end')
    const [head = '', body] = text.split('\r\n\r\n')
    t.match(head, /^HTTP\/1\.1 304 Not Modified\r\n/, method)
    t.equal(body, '', 'no body')
    t.match(head, `\r\netag: ${etag}`)
    t.match(head, '\r\ncache-control: no-cache')
    t.match(head, /\r\nvary: .*Accept/)
    t.match(head, '\r\nx-request-id: ')
    t.match(head, '\r\nx-content-type-options: nosniff')
    t.match(head, /\r\naccess-control-expose-headers: .*ETag/)
    t.notMatch(head, /\r\ncontent-type:|\r\ncontent-length:|\r\ntransfer-encoding:/i)
  }
})

test('a connection goes on after a 304', async t => {
  const { url } = await listen(t, { routes: thingRoutes().routes })
  for (const method of ['GET', 'HEAD', 'GET']) {
    const answer = await fetch(`${url}/things/${id}`, { method, headers: { 'if-none-match': etag } })
    t.equal(answer.status, 304)
    t.equal(await answer.text(), '')
  }
  t.strictSame(await (await fetch(`${url}/things/${id}`)).json(), thing)
})

test('a change is told what the caller supposes', async t => {
  const { handled, routes } = thingRoutes()
  const app = await build(t, { routes })
  const url = `/things/${id}`
  await app.inject({ method: 'PATCH', url, headers: { 'if-match': `${etag}, W/"x"` } })
  await app.inject({ method: 'DELETE', url, headers: { 'if-none-match': '*' } })
  await app.inject({ method: 'POST', url: `${url}/restore`, headers: { 'if-match': etag } })
  t.strictSame(handled.splice(0), [
    { match: [etag, 'W/"x"'], noneMatch: [] },
    { match: null, noneMatch: '*' },
    { match: [etag], noneMatch: [] },
  ])
  const headers = { 'if-match': etag, 'if-none-match': '*' }
  await app.inject({ method: 'PUT', url })
  await app.inject({ url: '/plain', headers })
  t.equal((await app.inject({ method: 'POST', url: '/things', headers })).statusCode, 201)
  t.strictSame(handled, [NO_PRECONDITION, NO_PRECONDITION, NO_PRECONDITION])
})

test('a header that is no list of tags is not valid', async t => {
  const { handled, routes } = thingRoutes()
  const app = await build(t, { routes, variables: { REQUIRE_IF_MATCH: 'true' } })
  for (const [method, name, value] of [
    ['PATCH', 'if-match', `${id}-3`],
    ['DELETE', 'if-match', '"a" "b"'],
    ['DELETE', 'if-match', ''],
    ['PUT', 'if-none-match', '*, "a"'],
    ['GET', 'if-none-match', 'x'],
    ['GET', 'if-match', 'x'],
    ['HEAD', 'if-match', 'x'],
  ] as const) {
    const answer = await app.inject({ method, url: `/things/${id}`, headers: { [name]: value } })
    t.equal(answer.statusCode, 400, `${method} ${name}: ${value}`)
    if (method === 'HEAD') continue
    const { code, errors } = answer.json()
    t.equal(code, 'validation_failed')
    const message = 'must be * or a list of entity tags'
    t.strictSame(errors, [{ in: 'header', pointer: `/${name}`, code: 'pattern', message }])
  }
  t.strictSame(handled, [])
  t.equal(
    (await app.inject({ url: '/plain', headers: { 'if-match': 'x' } })).statusCode,
    200,
    'elsewhere it is nothing',
  )
})

test('where it is demanded, no change goes without a version', async t => {
  const { handled, routes } = thingRoutes()
  const app = await build(t, { routes, variables: { REQUIRE_IF_MATCH: 'true' } })
  const url = `/things/${id}`
  for (const method of ['PATCH', 'PUT', 'DELETE'] as const) {
    for (const headers of [{}, { 'if-none-match': next }]) {
      const answer = await app.inject({ method, url, headers })
      t.equal(answer.statusCode, 428, method)
      t.equal(answer.json().code, 'precondition_required')
      t.notOk('etag' in answer.headers)
    }
  }
  t.strictSame(handled, [], 'no handler was asked')
  for (const value of [etag, '*']) {
    t.equal((await app.inject({ method: 'PATCH', url, headers: { 'if-match': value } })).statusCode, 200)
  }
  t.equal((await app.inject(url)).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: `${url}/restore` })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/things' })).statusCode, 201)
})

test('who may not is told that first', async t => {
  const app = await build(t, { routes: thingRoutes().routes, variables: { REQUIRE_IF_MATCH: 'true' } })
  const as = async (headers: object) =>
    (await app.inject({ method: 'PATCH', url: '/guarded', headers: { ...headers } })).statusCode
  t.equal(await as({}), 401)
  t.equal(await as({ 'if-match': 'x' }), 401)
  t.equal(await as(await signedIn(app, 'user')), 403)
  t.equal(await as(await signedIn(app, 'admin')), 428)
})

test('a route keeps the headers that it wants itself', async t => {
  const app = await build(t, { routes: thingRoutes().routes })
  const own = async (headers: Record<string, string>) =>
    (await app.inject({ method: 'PATCH', url: '/own', headers })).statusCode
  t.equal(await own({ 'x-own': 'abc', 'if-match': etag }), 200)
  t.equal(await own({ 'if-match': etag }), 400)
  t.equal(await own({ 'x-own': 'a' }), 400)
  t.equal(await own({ 'x-own': 'abc', 'if-match': 'x' }), 400)
})

test('the document says all of it', async t => {
  const app = await build(t, { routes: thingRoutes().routes })
  const { paths, components } = (await app.inject('/openapi.json')).json()
  const thingPath = paths['/things/{id}']
  const headersOf = ({ parameters }: { parameters: { in: string; name: string; required?: boolean }[] }) =>
    parameters
      .filter(parameter => parameter.in === 'header')
      .map(({ name, required = false }) => [name, required])
  const conditions = [
    ['if-match', false],
    ['if-none-match', false],
  ]
  t.strictSame(headersOf(thingPath.get), conditions)
  t.strictSame(headersOf(thingPath.patch), conditions)
  t.strictSame(headersOf(paths['/own'].patch), [['x-own', true], ...conditions])
  t.match(thingPath.get.responses['200'].headers, { ETag: { schema: { type: 'string' } } })
  t.strictSame(thingPath.get.responses['304'], { $ref: '#/components/responses/NotModified' })
  t.match(components.responses.NotModified.headers, { ETag: {}, 'X-Request-Id': {} })
  t.notOk('content' in components.responses.NotModified)
  t.strictSame(thingPath.get.responses['412'], { $ref: '#/components/responses/PreconditionFailed' })
  t.notOk('428' in thingPath.get.responses)
  t.notOk('304' in thingPath.patch.responses)
  t.ok('412' in thingPath.patch.responses)
  t.strictSame(thingPath.patch.responses['428'], { $ref: '#/components/responses/PreconditionRequired' })
  t.match(components.responses.PreconditionRequired.description, 'REQUIRE_IF_MATCH')
  const restore = paths['/things/{id}/restore'].post.responses
  t.ok('412' in restore)
  t.notOk('428' in restore)
  const { responses, parameters = [] } = paths['/things'].post
  t.match(responses['201'].headers, { ETag: {} })
  t.notOk('412' in responses)
  t.strictSame(
    parameters.filter((parameter: { in: string }) => parameter.in === 'header'),
    [],
  )
})

test('a page of another origin may send conditions and read tags', async t => {
  const app = await build(t, { routes: thingRoutes().routes })
  const origin = 'http://localhost:5173'
  const wanted = 'if-match, if-none-match, idempotency-key'
  const preflight = await app.inject({
    method: 'OPTIONS',
    url: `/things/${id}`,
    headers: { origin, 'access-control-request-method': 'PATCH', 'access-control-request-headers': wanted },
  })
  t.equal(preflight.headers['access-control-allow-headers'], wanted)
  t.match((await app.inject({ url: `/things/${id}`, headers: { origin } })).headers, tagged)
})
