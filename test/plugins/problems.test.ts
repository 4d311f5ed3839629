import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { Conflict, RateLimited, Unauthenticated } from '../../src/lib/problems.ts'
import { build, probe, recordingLogger } from '../helper.ts'

const SHAPE = ['code', 'detail', 'instance', 'request_id', 'status', 'title', 'type']

test('a problem has the one shape', async t => {
  const app = await build(t)
  const response = await app.inject('/no/such/path?secret=1')
  t.equal(response.statusCode, 404)
  t.equal(response.headers['content-type'], 'application/problem+json')
  t.strictSame(Object.keys(response.json()).sort(), SHAPE)
  t.match(response.json(), {
    type: '/problems/not_found',
    title: 'Not found',
    status: 404,
    instance: '/no/such/path',
    code: 'not_found',
    request_id: response.headers['x-request-id'],
  })
  t.notMatch(response.body, /secret/)
})

test('the request id is the caller’s if it is sane', async t => {
  const app = await build(t)
  const idFor = async (id: string) =>
    (await app.inject({ url: '/health/live', headers: { 'x-request-id': id } })).headers['x-request-id']
  t.equal(await idFor('abc-1.2_3'), 'abc-1.2_3')
  t.equal(await idFor('x'.repeat(128)), 'x'.repeat(128))
  for (const insane of ['', 'x'.repeat(129), 'a b', 'a/b', 'é', '<script>']) {
    t.match(await idFor(insane), /^[0-9a-f-]{36}$/, insane)
  }
})

test('a failure of ours is logged with its cause and tells nothing', async t => {
  const { logger, lines } = recordingLogger('info')
  const app = await build(t, {
    logger,
    routes: async app => {
      app.get('/bug', probe('bug'), () => {
        throw new Error('the private cause in /srv/secret.ts')
      })
      app.get('/bug-without-error', probe('bugWithoutError'), async () => {
        throw 'just a string'
      })
      app.get('/bug-without-anything', probe('bugWithoutAnything'), async () => {
        throw null
      })
    },
  })
  const response = await app.inject('/bug')
  t.equal(response.statusCode, 500)
  t.equal(response.json().code, 'internal')
  t.strictSame(Object.keys(response.json()).sort(), SHAPE)
  t.notMatch(response.body, /private|secret|at /)
  const failure = lines().find(line => line.msg === 'request failed')
  t.match(failure, {
    level: 50,
    request_id: response.headers['x-request-id'],
    err: { cause: { message: /private/ } },
  })
  for (const url of ['/bug-without-error', '/bug-without-anything?token=planted']) {
    const odd = await app.inject(url)
    t.equal(odd.statusCode, 500)
    t.equal(odd.json().code, 'internal')
  }
  t.notMatch(JSON.stringify(lines()), /planted/)
  t.equal((await app.inject('/status-of-nothing')).statusCode, 404)
})

test('a domain’s problem keeps its status, detail and headers', async t => {
  const app = await build(t, {
    routes: async app => {
      app.get('/conflict', probe('conflict'), () => {
        throw new Conflict('The name is taken.', { headers: { 'x-hint': 'another' } })
      })
      app.get('/login', probe('logMeIn'), () => {
        throw new Unauthenticated('Who are you?')
      })
      app.get('/slow-down', probe('slowDown'), () => {
        throw new RateLimited('Too fast.', { headers: { 'retry-after': '17' } })
      })
    },
  })
  const conflict = await app.inject('/conflict')
  t.equal(conflict.statusCode, 409)
  t.equal(conflict.json().detail, 'The name is taken.')
  t.equal(conflict.headers['x-hint'], 'another')
  t.equal((await app.inject('/login')).headers['www-authenticate'], 'Bearer')
  t.equal((await app.inject('/slow-down')).headers['retry-after'], '17')
})

test('what a library means by a status keeps its status and loses its words', async t => {
  const app = await build(t, {
    routes: async app => {
      app.get(
        '/status/:status',
        probe('status', { params: Type.Object({ status: Type.Integer({ maximum: 599 }) }) }),
        request => {
          throw Object.assign(new Error('private words'), { statusCode: request.params.status })
        },
      )
    },
  })
  const codes = {
    400: 'malformed_request',
    404: 'not_found',
    413: 'payload_too_large',
    414: 'uri_too_long',
    415: 'unsupported_media_type',
    429: 'rate_limited',
    412: 'precondition_failed',
    416: 'range_not_satisfiable',
    500: 'internal',
    503: 'unavailable',
  }
  for (const [status, code] of Object.entries(codes)) {
    const response = await app.inject(`/status/${status}`)
    t.equal(response.statusCode, Number(status))
    t.equal(response.json().code, code)
    t.notMatch(response.body, /private/)
  }
  t.ok(Number((await app.inject('/status/503')).headers['retry-after']) > 0)
})

test('a database that refuses is told apart', async t => {
  const { logger, text } = recordingLogger()
  const app = await build(t, {
    logger,
    routes: async app => {
      const { db } = app.database
      const text = { querystring: Type.Object({ value: Type.String() }) }
      app.get('/number', probe('number', text), async request => {
        await db.execute(sql`select ${request.query.value}::int`)
      })
      app.get('/duplicate', probe('duplicate', text), async request => {
        await db.execute(sql`create table if not exists unique_words (word text primary key)`)
        await db.execute(sql`insert into unique_words values (${request.query.value})`)
        await db.execute(sql`insert into unique_words values (${request.query.value})`)
      })
      app.get('/no-table', probe('noTable'), async () => {
        await db.execute(sql`select * from no_such_table`)
      })
    },
  })
  const number = await app.inject('/number?value=planted-number')
  t.equal(number.statusCode, 400)
  t.equal(number.json().code, 'validation_failed')

  const duplicate = await app.inject('/duplicate?value=planted-word')
  t.equal(duplicate.statusCode, 409)
  t.equal(duplicate.json().code, 'conflict')

  const missing = await app.inject('/no-table')
  t.equal(missing.statusCode, 500)
  t.notMatch(missing.body, /no_such_table|select/)
  t.match(text(), /no_such_table/, 'the log tells the operator')
  for (const seen of [number.body, duplicate.body, text()]) t.notMatch(seen, /planted/)
})
