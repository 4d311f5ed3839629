import { STATUS_CODES } from 'node:http'
import type { FastifyContextConfig, FastifySchema } from 'fastify'
import type { Access } from '../lib/access.ts'
import type { ProblemConstructor, ProblemDefinition } from '../lib/problem.ts'
import {
  EmailUnverified,
  Forbidden,
  InsufficientScope,
  Internal,
  InvalidText,
  MalformedJson,
  MalformedRequest,
  NotFound,
  PayloadTooLarge,
  RateLimited,
  Unauthenticated,
  Unavailable,
  UnsupportedMediaType,
  ValidationFailed,
} from '../lib/problems.ts'

type Json = Record<string, unknown>

interface Operation {
  operationId?: string
  parameters?: { required?: boolean; schema?: { default?: unknown } }[]
  requestBody?: { required?: boolean }
  responses?: Record<string, Json>
}

interface Component {
  properties?: Record<string, { enum?: string[] }>
}

export interface OpenApiDocument {
  paths?: Record<string, Record<string, Operation>>
  components?: Record<string, Json> & { schemas?: Record<string, Component> }
}

const headers = {
  'X-Request-Id': {
    description: "The caller's own id if it sent a sane one, otherwise a new one.",
    schema: { type: 'string', maxLength: 128 },
  },
  'Retry-After': { description: 'Seconds to wait before the next try.', schema: { type: 'integer' } },
  'RateLimit-Policy': {
    description:
      'The limits that hold: names, quotas and windows in seconds (draft-ietf-httpapi-ratelimit-headers-10).',
    schema: { type: 'string', examples: ['"standard";q=5000;w=3600'] },
  },
  RateLimit: {
    description: 'What is left of each, and the seconds until the whole quota is there again.',
    schema: { type: 'string', examples: ['"standard";r=4999;t=3600'] },
  },
  'WWW-Authenticate': { description: 'How to authenticate.', schema: { type: 'string' } },
}

const headerRef = (...names: (keyof typeof headers)[]) =>
  Object.fromEntries(names.map(name => [name, { $ref: `#/components/headers/${name}` }]))

const headersOfStatus: Record<number, Json> = {
  401: headerRef('WWW-Authenticate'),
  429: headerRef('Retry-After', 'RateLimit-Policy', 'RateLimit'),
  503: headerRef('Retry-After'),
}

const headersOfCode: Record<string, Json> = { idempotency_in_progress: headerRef('Retry-After') }

/** Every failure that a route's schemas, its access and its own list can lead to. */
export function possibleProblems(
  schema: FastifySchema,
  url: string,
  config: FastifyContextConfig,
): ProblemConstructor[] {
  const { access, badToken, operational, limits, upload, problems = [] } = config
  const { body, params, querystring, headers: conditions } = schema
  return [
    ...(body || upload || params || querystring || conditions ? [ValidationFailed] : []),
    ...(body ? [MalformedJson] : []),
    ...(body || upload ? [PayloadTooLarge, UnsupportedMediaType] : []),
    InvalidText,
    MalformedRequest,
    ...refusals(access, badToken),
    ...(url.includes(':') ? [NotFound] : []),
    ...(operational || limits === 'none' ? [] : [RateLimited]),
    ...problems,
    Internal,
    Unavailable,
  ]
}

function refusals(
  access: Access | undefined,
  badToken: FastifyContextConfig['badToken'],
): ProblemConstructor[] {
  if (access === undefined || access === 'public') return []
  if (access === 'optional') return badToken === 'ignored' ? [] : [Unauthenticated]
  return [
    Unauthenticated,
    Forbidden,
    ...(access.scope === undefined ? [] : [InsufficientScope]),
    ...(access.unverified ? [] : [EmailUnverified]),
  ]
}

/**
 * Adds the failures to the operations, each distinct one as a component that they refer to, and what is not modified,
 * so that generated clients get a type per failure instead of one per failure and operation.
 */
export function addProblems(
  document: OpenApiDocument,
  problemsOf: ReadonlyMap<string, ProblemConstructor[]>,
) {
  const shared: Json = {}
  for (const operation of operationsOf(document)) {
    const responses = operation.responses ?? {}
    const problems = problemsOf.get(operation.operationId ?? '') ?? []
    const limit = problems.includes(RateLimited) ? headerRef('RateLimit-Policy', 'RateLimit') : {}
    for (const [status, response] of Object.entries(responses)) {
      if (response.description === 'Default Response') response.description = STATUS_CODES[status]
      response.headers = {
        ...headerRef('X-Request-Id'),
        ...headersOfStatus[Number(status)],
        ...limit,
        ...(response.headers as Json | undefined),
      }
    }
    // Of those without a limit, it says less.
    if (responses[304] !== undefined && problems.includes(RateLimited)) {
      shared.NotModified ??= responses[304]
      responses[304] = { $ref: '#/components/responses/NotModified' }
    }
    for (const [status, definitions] of byStatus(problems)) {
      // What a route says of a status itself goes first.
      if (status in responses) continue
      const name = definitions.map(({ code }) => pascalCase(code)).join('Or')
      shared[name] ??= problemResponse(status, definitions)
      responses[status] = { $ref: `#/components/responses/${name}` }
    }
  }
  document.components = { ...document.components, responses: shared }
  document.components.headers = headersIn(JSON.stringify(document))
  return document
}

export const operationsOf = (document: OpenApiDocument): Operation[] =>
  Object.values(document.paths ?? {}).flatMap(item => Object.values(item))

/** Only the headers that something refers to: a component that nobody uses is noise in generated clients. */
const headersIn = (document: string): Json =>
  Object.fromEntries(
    Object.entries(headers).filter(([name]) => document.includes(`#/components/headers/${name}"`)),
  )

function byStatus(problems: ProblemConstructor[]): Map<number, ProblemDefinition[]> {
  const groups = new Map<number, ProblemDefinition[]>()
  for (const { definition } of new Set(problems)) {
    groups.set(definition.status, [...(groups.get(definition.status) ?? []), definition])
  }
  return groups
}

function problemResponse(status: number, definitions: ProblemDefinition[]): Json {
  return {
    description: definitions.map(({ code, explanation }) => `\`${code}\`: ${explanation}`).join('\n\n'),
    headers: Object.assign(
      { ...headerRef('X-Request-Id'), ...headersOfStatus[status] },
      ...definitions.map(({ code }) => headersOfCode[code]),
    ),
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  }
}

const pascalCase = (code: string) =>
  code.replace(/(?:^|_)(\w)/g, (_match, letter: string) => letter.toUpperCase())
