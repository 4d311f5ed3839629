import type { HTTPMethods } from 'fastify'
import { test } from 'tap'
import { build, probe } from '../helper.ts'

test('a known path under another method is 405 and names the methods', async t => {
  const app = await build(t, {
    routes: async app => {
      app.get('/things/:id', probe('getThing'), async () => ({}))
      app.delete('/things/:id', probe('deleteThing'), async () => ({}))
    },
  })
  for (const method of ['POST', 'PUT', 'PATCH', 'PROPFIND'] as HTTPMethods[]) {
    const response = await app.inject({ method: method as 'POST', url: '/things/1?x=1' })
    t.equal(response.statusCode, 405, method)
    t.equal(response.headers.allow, 'DELETE, GET, HEAD, OPTIONS')
    t.equal(response.json().code, 'method_not_allowed')
    t.equal(response.headers['content-type'], 'application/problem+json')
  }
})

test('a path of its own is not taken for an id', async t => {
  const app = await build(t, {
    routes: async app => {
      app.get('/things/:id', probe('getThing'), async () => ({}))
      app.patch('/things/:id', probe('updateThing'), async () => ({}))
      app.get('/things/stats', probe('getThingStats'), async () => ({}))
      app.post('/things/batch', probe('batchThings'), async () => ({}))
    },
  })
  for (const [method, url, allow] of [
    ['PATCH', '/things/stats', 'GET, HEAD, OPTIONS'],
    ['GET', '/things/batch', 'OPTIONS, POST'],
    ['PATCH', '/things/batch', 'OPTIONS, POST'],
  ] as const) {
    const response = await app.inject({ method, url })
    t.match(response.json(), { status: 405, code: 'method_not_allowed' }, `${method} ${url}`)
    t.equal(response.headers.allow, allow)
  }
  t.equal((await app.inject({ method: 'PATCH', url: '/things/1' })).statusCode, 200)
  t.equal((await app.inject('/things/stats')).statusCode, 200)
})

test('a body on a path without a route is not read', async t => {
  const app = await build(t)
  const sent = { payload: '{broken', headers: { 'content-type': 'application/json' } }
  t.equal((await app.inject({ method: 'POST', url: '/health', ...sent })).statusCode, 405)
  t.equal((await app.inject({ method: 'POST', url: '/nowhere', ...sent })).statusCode, 404)
})

test('OPTIONS tells the methods of a path', async t => {
  const app = await build(t)
  const response = await app.inject({ method: 'OPTIONS', url: '/health' })
  t.equal(response.statusCode, 204)
  t.equal(response.headers.allow, 'GET, HEAD, OPTIONS')
  t.equal(response.body, '')
  t.equal((await app.inject({ method: 'OPTIONS', url: '/nowhere' })).statusCode, 404)
})

test('an unknown path is 404 under every method', async t => {
  const app = await build(t)
  for (const method of ['GET', 'HEAD', 'POST', 'DELETE'] as const) {
    t.equal((await app.inject({ method, url: '/nowhere' })).statusCode, 404, method)
  }
  t.equal((await app.inject('/health/')).statusCode, 404, 'a trailing slash is another path')
})
