import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import { allEventTypes } from '../src/events/event-type.ts'
import { packageRoot } from '../src/lib/package.ts'
import { problemDefinitions } from '../src/lib/problem.ts'
import { CHEAP, newcomer } from './domains/auth/people.ts'
import { build } from './helper.ts'

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  description?: string
  security?: unknown[]
  parameters?: { name: string; in: string; required: boolean; schema: { default?: unknown } }[]
  requestBody?: { required: boolean }
  responses: Record<string, { $ref?: string; headers?: object; content?: object }>
}

const execute = promisify(execFile)

test('openapi.json is what the routes say', async t => {
  const app = await build(t)
  const served = await app.inject('/openapi.json')
  t.equal(served.statusCode, 200)
  t.match(served.headers['content-type'], /^application\/json/)
  t.strictSame(
    JSON.parse(await readFile(join(packageRoot, 'openapi.json'), 'utf8')),
    served.json(),
    'run `npm run openapi`',
  )
})

test('the recommended rules of Redocly find nothing', async t => {
  const { stdout } = await execute(process.execPath, [
    join(packageRoot, 'node_modules', '@redocly', 'cli', 'bin', 'cli.js'),
    'lint',
    join(packageRoot, 'openapi.json'),
    '--format=json',
  ])
  const { totals } = JSON.parse(stdout)
  t.strictSame({ errors: totals.errors, warnings: totals.warnings }, { errors: 0, warnings: 0 })
})

test('each operation names itself, its caller and each of its answers', async t => {
  const app = await build(t)
  const document = (await app.inject('/openapi.json')).json()
  const operations = operationsIn(document)
  t.ok(operations.length >= 5)
  t.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length)
  const tags = document.tags.map((tag: { name: string }) => tag.name)
  for (const operation of operations) {
    t.ok(operation.summary, operation.operationId)
    t.ok(operation.tags.every(tag => tags.includes(tag)))
    t.ok(operation.security !== undefined || document.security.length > 0)
    t.ok(Object.keys(operation.responses).some(status => status.startsWith('2')))
    for (const status of ['400', '500', '503'])
      t.ok(operation.responses[status], `${operation.operationId} ${status}`)
    for (const response of Object.values(operation.responses)) {
      const { headers } = response.$ref ? resolve(document, response.$ref) : response
      t.ok(headers && 'X-Request-Id' in headers, operation.operationId)
    }
  }
  t.equal(document.components.schemas.Problem.type, 'object')
})

test('the codes in the document are codes that exist', async t => {
  const app = await build(t)
  const { components } = (await app.inject('/openapi.json')).json()
  const known = new Set(problemDefinitions().map(({ code }) => code))
  const { NotModified, ...problems } = components.responses
  t.match(NotModified, { description: /has this answer/, headers: { ETag: {}, 'X-Request-Id': {} } })
  for (const { description } of Object.values<{ description: string }>(problems)) {
    const codes = [...description.matchAll(/^`(\w+)`:/gm)].map(([, code]) => code)
    t.ok(codes.length > 0)
    for (const code of codes) t.ok(known.has(String(code)), String(code))
  }
  t.strictSame(components.schemas.Problem.properties.code.enum, [...known].sort(), 'clients can tell them')
})

test('the types of events in the document are those that there are', async t => {
  const app = await build(t)
  const { components } = (await app.inject('/openapi.json')).json()
  const types: string[] = components.schemas.EventType.enum
  t.strictSame(
    types,
    allEventTypes()
      .map(({ name }) => name)
      .sort(),
  )
  t.strictSame(components.schemas.WebhookPing.properties.type.enum, ['webhook.ping'])
  t.notOk(types.includes('webhook.ping'), 'a message is one of the two')
  t.strictSame(components.schemas.WebhookMessage.properties.type, { $ref: '#/components/schemas/EventType' })
})

test('what the service sends by itself names itself, its headers and what follows from answers', async t => {
  const app = await build(t)
  const document = (await app.inject('/openapi.json')).json()
  const { operationId, summary, description, security, ...message } = document.webhooks.event.post
  t.ok(operationId && summary && description)
  t.notOk(operationsIn(document).some(each => each.operationId === operationId))
  t.strictSame(security, [], 'a receiver knows it by its signature')
  t.strictSame(Object.keys(message.responses), ['410', '2XX', 'default'])
  t.ok(message.parameters.every((parameter: { description?: string }) => parameter.description))
  for (const { $ref } of message.requestBody.content['application/json'].schema.oneOf)
    t.ok(resolve(document, $ref))
})

test('the stream tells of the headers that keep proxies from gathering it', async t => {
  const app = await build(t)
  const { headers } =
    operation((await app.inject('/openapi.json')).json(), 'streamEvents').responses['200'] ?? {}
  t.match(headers, { 'Cache-Control': {}, 'X-Accel-Buffering': {}, 'X-Request-Id': {} })
})

test('what has a default may be left out', async t => {
  const app = await build(t)
  const document = (await app.inject('/openapi.json')).json()
  const parameters = operationsIn(document).flatMap(({ parameters = [] }) => parameters)
  const withDefault = parameters.filter(({ schema }) => schema.default !== undefined)
  t.ok(withDefault.length >= 5)
  t.strictSame(
    withDefault.filter(({ required }) => required),
    [],
  )
  t.ok(parameters.filter(parameter => parameter.in === 'path').every(({ required }) => required))
  t.equal(operation(document, 'rotateApiKey').requestBody?.required, false)
  t.equal(operation(document, 'login').requestBody?.required, true)
  t.notOk('required' in document.components.schemas.ApiKeyRotation)
})

test('each operation says who may call it, and how', async t => {
  const app = await build(t, { variables: CHEAP })
  const document = (await app.inject('/openapi.json')).json()
  const cases: [string, unknown[], RegExp | undefined][] = [
    ['login', [], undefined],
    ['createUser', [{}, { accessToken: [] }], undefined],
    ['listSessions', [{ accessToken: [] }], undefined],
    [
      'getMe',
      [{ accessToken: [] }, { apiKey: ['profile:read'] }],
      /^API keys need the scope `profile:read`\.$/,
    ],
    [
      'getUser',
      [{ accessToken: [] }, { apiKey: ['profile:read'] }],
      /\n\nFor the user itself and administrators\. API keys need the scope `profile:read`\.$/,
    ],
    ['listUsers', [{ accessToken: [] }], /^For administrators\.$/],
    ['refresh', [{}, { refreshToken: [] }, { refreshCookie: [] }], undefined],
    ['logout', [{ accessToken: [] }, { refreshCookie: [] }], undefined],
  ]
  for (const [name, security, said] of cases) {
    const { description = '', ...rest } = operation(document, name)
    t.strictSame(rest.security, security, name)
    if (said) t.match(description, said, name)
    else t.notMatch(description, /\bFor (the user|administrators)|need the scope/, name)
  }
  const schemes = document.components.securitySchemes
  for (const { security = [] } of operationsIn(document)) {
    for (const scheme of security.flatMap(each => Object.keys(each as object))) t.ok(schemes[scheme], scheme)
  }
  const cookie = await app.inject({
    method: 'POST',
    url: '/api/v1/auth/register',
    payload: { ...newcomer(), cookie: true },
  })
  t.ok(String(cookie.headers['set-cookie']).startsWith(`${schemes.refreshCookie.name}=`))
})

test('operations without a body list how they refuse one', async t => {
  const app = await build(t)
  const document = (await app.inject('/openapi.json')).json()
  for (const name of ['logout', 'resendVerification', 'revokeOtherSessions', 'restoreUser']) {
    const { requestBody, responses } = operation(document, name)
    t.equal(requestBody, undefined, name)
    t.match(responses['400']?.$ref, /ValidationFailedOrMalformedJson/, name)
    t.ok(responses['413'] && responses['415'], name)
  }
  t.notOk(operation(document, 'getMe').responses['415'])
})

test('what is sent has a description', async t => {
  const app = await build(t)
  const { components } = (await app.inject('/openapi.json')).json()
  for (const name of [
    'Registration',
    'Credentials',
    'MfaCode',
    'NewUser',
    'UserChanges',
    'EmailChange',
    'NewWebhook',
  ]) {
    t.ok(components.schemas[name].description, name)
  }
})

const operationsIn = (document: { paths: object }): Operation[] =>
  Object.values<Record<string, Operation>>(document.paths as never).flatMap(Object.values)

function operation(document: { paths: object }, name: string): Operation {
  const found = operationsIn(document).find(({ operationId }) => operationId === name)
  if (found === undefined) throw new Error(`There is no operation ${name}.`)
  return found
}

function resolve(document: object, ref: string): { headers: object } {
  const found = ref
    .slice(2)
    .split('/')
    .reduce((node: unknown, key) => (node as Record<string, unknown>)[key], document)
  return found as { headers: object }
}
