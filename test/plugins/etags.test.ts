import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { type Test, test } from 'tap'
import type { App } from '../../src/app.ts'
import { tagOfBytes } from '../../src/lib/precondition.ts'
import { anItem } from '../domains/items/calls.ts'
import { aPost } from '../domains/posts/writing.ts'
import { resolveForTests } from '../domains/webhooks/targets.ts'
import { aUser, build, probe } from '../helper.ts'

const routes: FastifyPluginAsyncTypebox = async app => {
  app.get('/object', probe('object'), async () => ({ a: 1 }))
  app.get('/own', probe('own'), async (_request, reply) => reply.header('etag', '"own"').send({ a: 1 }))
  app.get('/bytes', probe('bytes'), async (_request, reply) => reply.send(Buffer.from('bytes')))
  app.get('/stream', probe('stream'), async (_request, reply) => reply.send(Readable.from(['x'])))
  app.get('/accepted', probe('accepted', { response: { 202: Type.Unknown() } }), async (_request, reply) =>
    reply.code(202).send({}),
  )
  const { config, schema } = probe('now')
  app.get('/now', { schema, config: { ...config, conditional: false } }, async () => ({ a: 1 }))
  app.post('/object', probe('post'), async () => ({ a: 1 }))
}

test('an answer to GET has the tag of its bytes, unless it has one, or none can be known', async t => {
  const app = await build(t, { routes })
  const etag = async (url: string) => (await app.inject(url)).headers.etag
  t.equal(await etag('/object'), tagOfBytes('{"a":1}'))
  t.equal(await etag('/bytes'), tagOfBytes('bytes'))
  t.equal(await etag('/own'), '"own"')
  for (const url of ['/stream', '/accepted', '/now', '/none', '/health', '/health/live', '/health/ready']) {
    t.equal(await etag(url), undefined, url)
  }
  t.notOk('etag' in (await app.inject({ method: 'POST', url: '/object' })).headers)
})

test('who has it is told so, by any of the ways to say it', async t => {
  const app = await build(t, { routes })
  const tag = tagOfBytes('{"a":1}')
  const ask = (value: string, url = '/object') => app.inject({ url, headers: { 'if-none-match': value } })
  for (const value of [tag, `W/${tag}`, '*', `"x", ${tag}`, `"x,y" ,, W/${tag}`]) {
    const answer = await ask(value)
    t.match(answer, { statusCode: 304, body: '' }, value)
    t.equal(answer.headers.etag, tag)
    t.notOk('content-type' in answer.headers || 'content-length' in answer.headers)
  }
  for (const value of ['"x"', '"*"', tag.toUpperCase()]) t.equal((await ask(value)).statusCode, 200, value)
  for (const value of ['x', '', '"a" "b"']) t.equal((await ask(value)).statusCode, 400, value)
  t.equal((await ask('"own"', '/own')).statusCode, 304)
  t.equal((await ask('*', '/now')).statusCode, 200)
})

/** What stands in for the names in the paths. */
async function subjects(app: App) {
  const admin = await aUser(app, 'admin')
  const { headers, id } = admin
  const inject = async (url: string, payload: object) =>
    (await app.inject({ method: 'POST', url: `/api/v1/${url}`, headers, payload })).json()
  const item = await anItem(app, headers)
  const { post } = await aPost(app, headers)
  const webhook = await inject('webhooks', { url: 'https://93.184.215.14/' })
  const { id: delivery_id } = await inject(`webhooks/${webhook.id}/ping`, {})
  const key = await inject('auth/api-keys', { name: 'x', scopes: ['items:read'] })
  const ids: [RegExp, string][] = [
    [/webhooks/, webhook.id],
    [/items/, item.id],
    [/api-keys/, key.id],
    [/users/, id],
    [/posts/, post.id],
  ]
  return {
    headers,
    urlOf: (path: string) =>
      path
        .replace('{id}', ids.find(([pattern]) => pattern.test(path))?.[1] ?? '')
        .replace('{delivery_id}', delivery_id)
        .replace('{code}', 'not_found'),
  }
}

/** Asked to be told how things are right now; and streams. */
const WITHOUT = ['getHealth', 'getLiveness', 'getReadiness']

test('every operation that reads JSON has a strong tag, says who may keep it, and honours what one has', async t => {
  const app = await build(t, { resolve: resolveForTests })
  const { headers, urlOf } = await subjects(app)
  const { paths } = (await app.inject('/openapi.json')).json()
  const seen: string[] = []
  for (const [path, { get }] of Object.entries<{ get?: Operation }>(paths)) {
    const content = get?.responses[200]?.content ?? {}
    if (get === undefined || !('application/json' in content)) continue
    const { operationId } = get
    if (WITHOUT.includes(operationId)) {
      t.notOk('304' in get.responses || 'ETag' in (get.responses[200]?.headers ?? {}), operationId)
      continue
    }
    seen.push(operationId)
    t.ok(
      '304' in get.responses && 'ETag' in (get.responses[200]?.headers ?? {}),
      `${operationId} is documented`,
    )
    t.ok(
      get.parameters?.some(({ name }) => name === 'if-none-match'),
      operationId,
    )
    await behaves(t, app, operationId, urlOf(path), headers)
  }
  t.ok(seen.length > 20, String(seen))
})

interface Operation {
  operationId: string
  parameters?: { name: string }[]
  responses: Record<string, { content?: object; headers?: object }>
}

async function behaves(t: Test, app: App, name: string, url: string, headers: Record<string, string>) {
  const answer = await app.inject({ url, headers })
  t.equal(answer.statusCode, 200, `${name} ${url} ${answer.body.slice(0, 200)}`)
  t.match(answer.headers.etag, /^"[^"]+"$/, name)
  t.match(answer.headers['cache-control'], cacheControl[name] ?? /^private, no-store$/, name)
  const told = ['etag', 'cache-control', 'vary', 'link'].map(header => [header, answer.headers[header]])
  const head = await app.inject({ method: 'HEAD', url, headers })
  for (const [header, value] of [...told, ['content-length', answer.headers['content-length']]]) {
    t.equal(head.headers[String(header)], value, `${name} HEAD ${header}`)
  }
  const known = await app.inject({
    url,
    headers: { ...headers, 'if-none-match': `W/${answer.headers.etag}` },
  })
  t.match(known, { statusCode: 304, body: '' }, name)
  for (const [header, value] of told) {
    // Whether the answer would have been large enough to be compressed, a 304 does not know.
    const sent = String(known.headers[String(header)]).replace(/(, )?Accept-Encoding$/, '')
    t.equal(sent, String(value).replace(/(, )?Accept-Encoding$/, ''), `${name} 304 ${header}`)
  }
}

const cacheControl: Record<string, RegExp> = {
  listPosts: /^private, no-cache$/,
  getPost: /^private, no-cache$/,
  listUserPosts: /^private, no-cache$/,
  getOpenApi: /^public, max-age=300$/,
  getProblem: /^public, max-age=300$/,
  getJwks: /^public, max-age=300$/,
}

test('what no route speaks of may not be kept', async t => {
  const app = await build(t, { routes })
  const no = async (method: 'GET' | 'POST' | 'OPTIONS', url: string, payload?: object) => {
    const { headers } = await app.inject({ method, url, ...(payload && { payload }) })
    t.match(headers['cache-control'], /no-store/, `${method} ${url}`)
  }
  await no('GET', '/object')
  await no('GET', '/nothing')
  await no('GET', '/api/v1/items')
  await no('GET', '/problems/none')
  await no('GET', '/%zz')
  await no('POST', '/api/v1/posts')
  await no('POST', '/api/v1/auth/login', { email: 'x@example.com', password: 'x' })
  await no('POST', '/api/v1/auth/forgot-password', { email: 'x@example.com' })
  await no('POST', '/api/v1/auth/register', {})
  await no('OPTIONS', '/api/v1/posts')
  await no('GET', '/docs')
})

test('a page and a JSON of one problem are two things', async t => {
  const app = await build(t)
  const ask = (accept: string) =>
    app.inject({ url: '/problems/not_found', headers: { accept, origin: 'http://localhost:1' } })
  const [html, json] = [await ask('text/html'), await ask('application/json')]
  t.not(html.headers.etag, json.headers.etag)
  for (const { headers } of [html, json]) t.equal(headers.vary, 'Origin, Accept')
  t.equal((await ask('text/html')).body, html.body)
})
