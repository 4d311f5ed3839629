import { test } from 'tap'
import { build, probe } from '../helper.ts'

const routes: NonNullable<NonNullable<Parameters<typeof build>[1]>['routes']> = async app => {
  app.get('/ordinary', probe('ordinary'), async () => ({}))
}

test('before the schema is there, only operational routes answer', async t => {
  const app = await build(t, { routes })
  for (const phase of ['starting', 'migrating'] as const) {
    app.lifecycle.phase = phase
    const held = await app.inject('/ordinary')
    t.equal(held.statusCode, 503, phase)
    t.equal(held.json().code, 'unavailable')
    t.ok(Number(held.headers['retry-after']) > 0)
    t.equal((await app.inject('/health/live')).statusCode, 200)
    t.equal((await app.inject('/docs')).statusCode, 200)
    t.equal((await app.inject('/nowhere')).statusCode, 404)
  }
  app.lifecycle.phase = 'serving'
  const served = await app.inject('/ordinary')
  t.equal(served.statusCode, 200)
  t.not(served.headers.connection, 'close')
})

test('while draining, requests are served and connections are asked to end', async t => {
  const app = await build(t, { routes })
  app.lifecycle.phase = 'draining'
  for (const url of ['/ordinary', '/nowhere', '/docs/static/swagger-ui.css']) {
    const response = await app.inject(url)
    t.not(response.statusCode, 503, url)
    t.equal(response.headers.connection, 'close', url)
  }
})
