import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { Test } from 'tap'
import type { App } from '../src/app.ts'

interface Call {
  /** Values for the path. */
  path?: Record<string, string>
  query?: Record<string, string>
  headers?: Record<string, string>
  payload?: object
}

interface Response {
  $ref?: string
  headers?: object
  content?: Record<string, { schema: object }>
}

interface Operation {
  operationId: string
  tags: string[]
  responses: Record<string, Response>
}

interface Message {
  parameters: { name: string; required: boolean; schema: object }[]
  requestBody: { content: Record<string, { schema: object }> }
}

type Node = Record<string, unknown>

/** Headers that mean something to a client, and so have to be in the document where they are sent. */
const TOLD = [
  'location',
  'link',
  'set-cookie',
  'content-disposition',
  'retry-after',
  'www-authenticate',
  'etag',
]

/** Headers that mean something to a receiver of messages. */
const TOLD_TO_RECEIVERS = /^(webhook-|x-)/

/** Calls operations by name and holds each answer against what the document says of it; notes which were `answered`. */
export async function documentedApi(app: App, answered = new Set<string>()) {
  const document = (await app.inject('/openapi.json')).json()
  const components = closed(document.components)
  const operations = operationsIn(document.paths)
  const ajv = formats.default(new Ajv2020({ strict: false }))

  async function call(t: Test, name: string, status: number, { path = {}, ...rest }: Call = {}) {
    const { url, method, operation } = operations.get(name) ?? fail(`no operation ${name}`)
    const filled = url.replace(/\{(\w+)\}/g, (_match, key: string) => path[key] ?? fail(`no ${key}`))
    const answer = await app.inject({ url: filled, method: method as 'GET', ...rest })
    const title = `${name} ${status}`
    t.equal(answer.statusCode, status, `${title} ${answer.statusCode === status ? '' : answer.body}`)
    const response = resolve(operation.responses[answer.statusCode])
    if (response === undefined) t.fail(`${name} does not list ${answer.statusCode}`)
    else t.strictSame(faults(response, answer), [], title)
    if (status < 300) answered.add(name)
    return answer
  }

  function resolve(response: Response | undefined): Response | undefined {
    const shared = response?.$ref?.replace('#/components/responses/', '')
    return shared === undefined ? response : document.components.responses[shared]
  }

  function faults(response: Response, { headers, body }: { headers: Node; body: string }): unknown[] {
    const listed = Object.keys(response.headers ?? {}).map(header => header.toLowerCase())
    const untold = TOLD.filter(header => header in headers && !listed.includes(header))
    if (response.content === undefined) return body === '' ? untold : [...untold, body]
    const type = String(headers['content-type']).replace(/;.*/, '')
    const schema = response.content[type]?.schema
    if (schema === undefined) return [...untold, type]
    const validate = ajv.compile({ ...closed(schema), components })
    const values = type === 'application/x-ndjson' ? body.trimEnd().split('\n') : [body]
    const parse = type.startsWith('text/') ? String : JSON.parse
    return [...untold, ...values.flatMap(text => (validate(parse(text)) ? [] : (validate.errors ?? [])))]
  }

  /** Holds what the service sent by itself against what the document says of it. */
  function sent(t: Test, name: string, { headers, body }: { headers: Node; body: string }) {
    const { parameters, requestBody } = document.webhooks[name].post as Message
    const title = `${name} ${JSON.parse(body).type}`
    const listed = parameters.map(parameter => parameter.name)
    const untold = Object.keys(headers).filter(
      header => TOLD_TO_RECEIVERS.test(header) && !listed.includes(header),
    )
    t.strictSame(untold, [], title)
    const properties = Object.fromEntries(parameters.map(parameter => [parameter.name, parameter.schema]))
    const required = parameters.filter(parameter => parameter.required).map(parameter => parameter.name)
    const coercing = formats.default(new Ajv2020({ strict: false, coerceTypes: true }))
    const head = coercing.compile({ type: 'object', properties, required })
    t.ok(head({ ...headers }), `${title}: ${JSON.stringify(head.errors)}`)
    const { schema } = requestBody.content[String(headers['content-type'])] ?? fail(`no such body of ${name}`)
    const validate = ajv.compile({ ...closed(schema), components })
    t.ok(validate(JSON.parse(body)), `${title}: ${JSON.stringify(validate.errors)}`)
  }

  /** Operations with these tags that answer with something and were not seen to. */
  const unanswered = (...tags: string[]) =>
    [...operations.values()]
      .filter(({ operation }) => operation.tags.some(tag => tags.includes(tag)))
      .filter(({ operation: { responses } }) => responses['200']?.content ?? responses['201']?.content)
      .map(({ operation }) => operation.operationId)
      .filter(name => !answered.has(name))

  return { call, sent, unanswered }
}

function operationsIn(paths: Record<string, Record<string, Operation>>) {
  const entries = Object.entries(paths).flatMap(([url, item]) =>
    Object.entries(item).map(([method, operation]) => ({ url, method: method.toUpperCase(), operation })),
  )
  return new Map(entries.map(entry => [entry.operation.operationId, entry]))
}

/** The schema with nothing in its objects that it does not name. */
function closed<T>(node: T): T {
  if (typeof node !== 'object' || node === null) return node
  if (Array.isArray(node)) return node.map(closed) as T
  const inner = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(value)]))
  const open = 'properties' in inner && !('additionalProperties' in inner)
  return (open ? { ...inner, additionalProperties: false } : inner) as T
}

function fail(message: string): never {
  throw new Error(message)
}
