import { Type } from '@sinclair/typebox'
import { test } from 'tap'
import { build, probe } from '../helper.ts'

const handler = async () => ({})

async function refusal(t: Parameters<typeof build>[0], options: object, url = '/probe') {
  try {
    await build(t, {
      routes: async app => {
        app.route({ method: 'POST', url, handler, ...options })
      },
    })
  } catch (error) {
    return (error as Error).message
  }
  return undefined
}

test('a route that says nothing of itself does not boot, and every fault is named', async t => {
  const message = await refusal(t, {})
  for (const missing of ['config.access', 'operationId', 'summary', 'tags', 'response']) {
    t.match(message, `POST /probe lacks ${missing.includes('.') ? missing : `schema.${missing}`}`)
  }
})

test('each part is demanded by itself', async t => {
  const whole = probe('whole', { body: Type.Object({}, { additionalProperties: false }) })
  t.equal(await refusal(t, whole), undefined)
  for (const part of ['operationId', 'summary', 'tags', 'response'] as const) {
    const { [part]: _, ...schema } = whole.schema
    t.match(await refusal(t, { ...whole, schema }), `lacks schema.${part}`)
  }
  t.match(await refusal(t, { schema: whole.schema }), 'lacks config.access')
})

test('a body that takes unknown fields does not boot', async t => {
  t.match(await refusal(t, probe('open', { body: Type.Object({}) })), 'additionalProperties: false')
  t.match(await refusal(t, probe('openRef', { body: { $ref: 'Health#' } })), 'additionalProperties: false')
})

test('an answer that is a version says so', async t => {
  const { config, schema } = probe('versioned', { response: { 200: { $ref: 'User#' } } })
  t.match(await refusal(t, { config, schema }), 'POST /probe lacks config.versioned')
  for (const versioned of [true, 'optional', 'answer']) {
    t.equal(await refusal(t, { config: { ...config, versioned }, schema }), undefined)
  }
  // It has a version, but of the service.
  t.equal(await refusal(t, probe('healthy', { response: { 200: { $ref: 'Health#' } } })), undefined)
})

test('a POST to the API says whether it may carry an Idempotency-Key', async t => {
  const url = '/api/v1/probe'
  const { config, schema } = probe('keyed')
  t.match(await refusal(t, { config, schema }, url), 'POST /api/v1/probe lacks config.idempotency')
  for (const idempotency of [true, false, { caller: () => undefined }]) {
    t.equal(await refusal(t, { config: { ...config, idempotency }, schema }, url), undefined)
  }
  t.equal(await refusal(t, { config, schema, method: 'PUT' }, url), undefined)
})

test('a number in a URL has a bound', async t => {
  const querystring = Type.Object({ page: Type.Integer() })
  t.match(await refusal(t, probe('unbounded', { querystring })), 'lacks a maximum for page')
})

test('a name is used once', async t => {
  t.match(await refusal(t, probe('getHealth')), 'operationId getHealth is used twice')
})

test('hidden routes still say who may call them', async t => {
  t.match(await refusal(t, { schema: { hide: true } }), 'lacks config.access')
})

test('a route whose answers sound like a secret says whether they hold one', async t => {
  const { config, schema } = probe('issue', { response: { 200: { $ref: 'IssuedApiKey#' } } })
  t.match(await refusal(t, { config, schema }), 'POST /probe lacks config.secret, for key')
  for (const secret of [true, false])
    t.equal(await refusal(t, { config: { ...config, secret }, schema }), undefined)
  const nested = Type.Object({ data: Type.Array(Type.Object({ device_token: Type.String() })) })
  t.match(await refusal(t, probe('nested', { response: { 200: nested } })), 'config.secret, for device_token')
  t.equal(await refusal(t, probe('page', { response: { 200: { $ref: 'SessionPage#' } } })), undefined)
})
