import { test } from 'tap'
import { problemDefinitions } from '../../src/lib/problem.ts'
import { build } from '../helper.ts'

test('every problem is explained, as JSON and as a page', async t => {
  const app = await build(t)
  t.ok(problemDefinitions().length >= 15)
  for (const definition of problemDefinitions()) {
    const url = `/problems/${definition.code}`
    const json = await app.inject(url)
    t.equal(json.statusCode, 200, url)
    t.match(json.headers['content-type'], /^application\/json/)
    t.strictSame(json.json(), definition)

    const html = await app.inject({ url, headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } })
    t.equal(html.statusCode, 200)
    t.match(html.headers['content-type'], /^text\/html/)
    t.match(html.headers.vary, /Accept/)
    t.ok(html.body.includes(`<code>${definition.code}</code>`))
  }
})

test('programs that accept pages too get JSON', async t => {
  const app = await build(t)
  const response = await app.inject({
    url: '/problems/not_found',
    headers: { accept: 'application/json, text/html;q=0.5' },
  })
  t.match(response.headers['content-type'], /^application\/json/)
})

test('what a static file cannot do is the caller’s fault', async t => {
  const app = await build(t)
  const url = '/docs/static/swagger-ui.css'
  const cases: [Record<string, string>, number, string][] = [
    [{ range: 'bytes=99999999-' }, 416, 'range_not_satisfiable'],
    [{ 'if-match': '"x"' }, 412, 'precondition_failed'],
    [{ range: 'bytes=0-9' }, 206, ''],
  ]
  for (const [headers, status, code] of cases) {
    const response = await app.inject({ url, headers })
    t.equal(response.statusCode, status)
    if (code) t.equal(response.json().code, code)
  }
  t.equal((await app.inject('/docs/static/nope.js')).statusCode, 404)
  t.equal(
    (await app.inject('/docs/static/..%5c..%5cpackage.json')).headers['content-type'],
    'application/problem+json',
  )
})

test('an unknown code is a problem itself', async t => {
  const app = await build(t)
  const response = await app.inject('/problems/no_such_code')
  t.equal(response.statusCode, 404)
  t.equal(response.json().code, 'not_found')
})

test('the documentation page and its files are served, under a policy of their own', async t => {
  const app = await build(t)
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  const policy = String(page.headers['content-security-policy'])
  t.match(policy, /^default-src 'self';/)
  t.notMatch(policy, /script-src/)
  t.notMatch(policy, /upgrade-insecure-requests/)
  for (const file of ['swagger-ui-bundle.js', 'swagger-ui.css', 'swagger-initializer.js']) {
    t.equal((await app.inject(`/docs/static/${file}`)).statusCode, 200, file)
  }
  t.equal((await app.inject('/docs/json')).json().openapi, '3.1.0')
  const outside = await app.inject('/docs/static/..%2f..%2f..%2fpackage.json')
  t.ok([400, 403, 404].includes(outside.statusCode))
  t.match(outside.headers['content-type'], 'application/problem+json')
})
