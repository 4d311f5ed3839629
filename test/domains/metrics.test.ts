import { gunzipSync } from 'node:zlib'
import { Counter } from 'prom-client'
import { test } from 'tap'
import type { App } from '../../src/app.ts'
import { packageVersion } from '../../src/lib/package.ts'
import { documentedApi } from '../documented.ts'
import { build, recordingLogger } from '../helper.ts'
import { parseMetrics } from '../metrics-text.ts'

const TOKEN = 'a token of 24 characters'.replaceAll(' ', '-')

const scrape = async (app: App) => parseMetrics((await app.inject('/metrics')).body)

async function requests(app: App) {
  const samples = (await scrape(app)).get('plinth_http_requests_total')?.samples ?? []
  return samples.map(({ labels: { operation, method, status }, value }) => [operation, method, status, value])
}

test('the text that Prometheus reads', async t => {
  const app = await build(t)
  const { statusCode, headers, body } = await app.inject('/metrics')
  t.equal(statusCode, 200)
  t.match(headers, {
    'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    'cache-control': 'no-store',
  })
  const families = parseMetrics(body)
  t.strictSame(families.get('plinth_build_info')?.samples, [
    {
      name: 'plinth_build_info',
      labels: { version: packageVersion, node: process.versions.node },
      value: 1,
    },
  ])
  const started = families.get('process_start_time_seconds')?.samples[0]?.value ?? 0
  t.ok(Math.abs(started - (Date.now() / 1000 - process.uptime())) < 1)
  for (const name of ['process_resident_memory_bytes', 'nodejs_heap_size_used_bytes']) {
    t.match(families.get(name), { type: 'gauge' })
    t.ok(Number(families.get(name)?.samples[0]?.value) > 1_000_000)
  }
  for (const { help, type } of families.values()) t.ok(help && type)
})

test('each request is counted once, by what it asked for and what it got', async t => {
  const app = await build(t)
  t.strictSame(await requests(await build(t)), [], 'the first scrape is not over when it is written')
  for (let count = 0; count < 7; count++) await app.inject('/health')
  await app.inject({ method: 'HEAD', url: '/health' })
  await app.inject('/problems/not_found')
  for (const url of ['/problems/x', '/problems/y']) await app.inject(url)
  for (const url of ['/x', '/y/z', '/api/v1/x?y=z']) await app.inject(url)
  await app.inject({ method: 'DELETE', url: '/health' })
  await app.inject('/api/v1/users/me')
  await app.inject('/docs')
  await app.inject({ method: 'OPTIONS', url: '/health' })
  t.strictSame(
    (await requests(app)).sort(),
    [
      ['unknown', 'GET', '404', 3],
      ['unknown', 'DELETE', '405', 1],
      ['unlisted', 'GET', '200', 1],
      ['unlisted', 'OPTIONS', '204', 1],
      ['getProblem', 'GET', '200', 1],
      ['getProblem', 'GET', '404', 2],
      ['getHealth', 'GET', '200', 7],
      ['getHealth', 'HEAD', '200', 1],
      ['getMe', 'GET', '401', 1],
    ].sort(),
    'nobody’s path is a label',
  )
  t.strictSame(
    (await requests(app)).find(([operation]) => operation === 'getMetrics'),
    ['getMetrics', 'GET', '200', 1],
    'the scrape before is a request like any other',
  )
})

test('how long they took', async t => {
  const app = await build(t, {
    routes: async scope => {
      scope.get('/slow', { config: { access: 'public' }, schema: slow }, async (_request, reply) => {
        Object.defineProperty(reply, 'elapsedTime', { value: 30 })
        return 'x'
      })
    },
  })
  for (let count = 0; count < 3; count++) await app.inject('/slow')
  const family = (await scrape(app)).get('plinth_http_request_duration_seconds')
  t.equal(family?.type, 'histogram')
  const own = family?.samples.filter(({ labels }) => labels.operation === 'slow') ?? []
  const buckets = own.filter(({ name }) => name.endsWith('_bucket'))
  t.strictSame(
    buckets.map(({ labels, value }) => `${labels.le} ${value}`),
    [
      '0.001 0',
      '0.0025 0',
      '0.005 0',
      '0.01 0',
      '0.025 0',
      '0.05 3',
      '0.1 3',
      '0.25 3',
      '0.5 3',
      '1 3',
      '2.5 3',
      '5 3',
      '10 3',
      '+Inf 3',
    ],
  )
  const rest = own.filter(({ name }) => !name.endsWith('_bucket'))
  t.strictSame(
    rest.map(({ name, value }) => `${name.replace(/.*_/, '')} ${+value.toFixed(3)}`),
    ['sum 0.09', 'count 3'],
  )
  t.notOk(
    family?.samples.some(({ labels }) => labels.operation === 'getMe'),
    'nothing of what nobody called',
  )
})

const slow = { operationId: 'slow', summary: 'slow', tags: ['test'], response: { 200: { type: 'string' } } }

test('what others register is told, too', async t => {
  const app = await build(t)
  const made = new Counter({
    name: 'made_total',
    help: 'Made.',
    labelNames: ['what'],
    registers: [app.metrics],
  })
  made.inc({ what: 'a "lamp"\\\n' }, 2)
  t.match((await app.inject('/metrics')).body, 'made_total{what="a \\"lamp\\"\\\\\\n"} 2')
})

test('with METRICS_TOKEN, whoever has it, and nobody else', async t => {
  const { logger, text } = recordingLogger()
  const app = await build(t, { variables: { METRICS_TOKEN: TOKEN }, logger })
  const { call } = await documentedApi(app)
  t.match((await call(t, 'getMetrics', 200, { headers: bearer(TOKEN) })).body, /^# HELP/)
  const wrong = ['', TOKEN.slice(1), `${TOKEN}x`, TOKEN.toUpperCase(), 'x'.repeat(10_000)].map(bearer)
  for (const headers of [{}, ...wrong, { authorization: TOKEN }, { 'x-api-key': TOKEN }]) {
    const answer = await call(t, 'getMetrics', 401, { headers: headers as Record<string, string> })
    t.match(answer.headers, { 'www-authenticate': /^Bearer/, 'cache-control': 'no-store' })
    t.equal(answer.json().code, 'unauthenticated')
    t.notMatch(answer.body, /plinth_/)
  }
  t.equal((await app.inject({ method: 'HEAD', url: '/metrics' })).statusCode, 401)
  t.match(text(), /getMetrics/)
  t.notMatch(text(), new RegExp(`${TOKEN.slice(1)}`, 'i'))
})

test('without it, everybody, whatever they show', async t => {
  const { call } = await documentedApi(await build(t))
  for (const headers of [{}, bearer('x')]) await call(t, 'getMetrics', 200, { headers })
})

test('they are never limited, and are there before the service is', async t => {
  const app = await build(t, { variables: { RATELIMIT_ENABLED: 'true', RATELIMIT_DEFAULT: '2/hour' } })
  for (let count = 0; count < 20; count++) t.equal((await app.inject('/metrics')).statusCode, 200)
  app.lifecycle.phase = 'migrating'
  t.equal((await app.inject('/metrics')).statusCode, 200)
  const { headers, rawPayload } = await app.inject({
    url: '/metrics',
    headers: { 'accept-encoding': 'gzip' },
  })
  t.equal(headers['content-encoding'], 'gzip')
  t.ok(parseMetrics(gunzipSync(rawPayload).toString()).size > 4)
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
