import { test } from 'tap'
import { SECURITY_HEADERS } from '../../src/plugins/security-headers.ts'
import { build } from '../helper.ts'

const exposed =
  'Content-Disposition, ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, Idempotency-Replayed'

test('every answer carries the security headers, also the failures', async t => {
  const app = await build(t)
  for (const url of ['/health', '/nowhere', '/problems/%zz', '/health?x=%00']) {
    const { headers } = await app.inject(url)
    for (const [name, value] of Object.entries(SECURITY_HEADERS))
      t.equal(headers[name], value, `${name} of ${url}`)
    t.notOk('x-powered-by' in headers)
    t.notOk('server' in headers)
  }
})

async function cors(t: Parameters<typeof build>[0], variables: Record<string, string>, origin: string) {
  const app = await build(t, { variables })
  const { headers } = await app.inject({ url: '/health', headers: { origin } })
  return headers
}

test('in development any localhost origin may read answers', async t => {
  for (const origin of [
    'http://localhost:5173',
    'https://127.0.0.1',
    'http://[::1]:8080',
    'http://app.localhost:3000',
  ]) {
    const headers = await cors(t, {}, origin)
    t.equal(headers['access-control-allow-origin'], origin)
    t.equal(headers['access-control-allow-credentials'], 'true')
    t.equal(headers['access-control-expose-headers'], exposed)
    t.match(headers.vary, /Origin/)
  }
  for (const origin of [
    'https://evil.example',
    'http://localhost.evil.example',
    'null',
    'http://evil-localhost:1',
  ]) {
    t.notOk('access-control-allow-origin' in (await cors(t, {}, origin)), origin)
  }
})

test('in production nobody may, unless listed', async t => {
  const variables = {
    NODE_ENV: 'production',
    DATABASE_URL: 'postgres://unused',
    JWT_SECRET_KEY: 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo',
  }
  t.notOk('access-control-allow-origin' in (await cors(t, variables, 'http://localhost:5173')))
  const listed = { ...variables, CORS_ORIGINS: 'https://app.example.com' }
  t.equal(
    (await cors(t, listed, 'https://app.example.com'))['access-control-allow-origin'],
    'https://app.example.com',
  )
  t.notOk('access-control-allow-origin' in (await cors(t, listed, 'https://app.example.com.evil.example')))
})

test('a page may read why it was refused, also early', async t => {
  const app = await build(t)
  const origin = 'http://localhost:5173'
  for (const url of ['/health?x=%00', '/health?x=%ff', '/nowhere']) {
    const { headers } = await app.inject({ url, headers: { origin } })
    t.equal(headers['access-control-allow-origin'], origin, url)
  }
})

test('the wildcard goes without credentials', async t => {
  const headers = await cors(t, { CORS_ORIGINS: '*' }, 'https://anyone.example')
  t.equal(headers['access-control-allow-origin'], '*')
  t.notOk('access-control-allow-credentials' in headers)
})

test('a preflight is answered for every method', async t => {
  const app = await build(t)
  const response = await app.inject({
    method: 'OPTIONS',
    url: '/health',
    headers: {
      origin: 'http://localhost:5173',
      'access-control-request-method': 'PATCH',
      'access-control-request-headers': 'authorization,if-match,idempotency-key',
    },
  })
  t.equal(response.statusCode, 204)
  t.match(response.headers['access-control-allow-methods'], /PATCH/)
  t.equal(response.headers['access-control-allow-headers'], 'authorization,if-match,idempotency-key')
  t.equal(response.headers['access-control-max-age'], '7200')
})
