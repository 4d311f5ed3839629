import { AjvCompiler, type BuildCompilerFromPool, type RouteDefinition } from '@fastify/ajv-compiler'
import type { FastifyRequest, FastifySchema } from 'fastify'
import type { Problem, ProblemFault } from '../lib/problem.ts'
import { faultyFields } from '../lib/problems.ts'
import { allComponents } from '../lib/schema.ts'

/** Above so many values in a body, the first fault has to do: checking all of them takes about 10 ms. */
const MOST_VALUES = 5_000

/** Longer names come from fuzzers; they need not be sent back whole. */
const LONGEST_NAME = 200

/** What Ajv compiles a schema to, as far as Fastify and we use it. */
export interface Validate {
  (value: unknown): boolean
  errors?: AjvFault[] | null | undefined
}

/** One fault as Ajv reports it; `verbose` adds the schema it was found in. */
interface AjvFault {
  keyword: string
  instancePath: string
  params: Record<string, unknown>
  message?: string
  parentSchema?: Record<string, unknown>
}

const common = {
  allErrors: true,
  verbose: true,
  removeAdditional: false,
  useDefaults: true,
  allowUnionTypes: true,
  /** A sentence for people where a keyword cannot say what is meant, as for a pattern. */
  keywords: [
    'x-message',
    'example',
    keyword('x-decimals', 'number', hasAtMostDecimals),
    keyword('x-most-bytes', 'object', hasAtMostBytes),
    keyword('x-most-levels', 'object', hasAtMostLevels),
  ],
}

/** A rule about values of one type that no keyword of JSON Schema can tell. A message of its own goes with it. */
function keyword(
  name: string,
  type: 'number' | 'object',
  validate: (limit: number, value: unknown) => boolean,
) {
  return { keyword: name, type, schemaType: 'number' as const, errors: false, validate }
}

/** By the number's own shortest notation: dividing would find faults in 0.07. */
function hasAtMostDecimals(limit: number, value: unknown): boolean {
  const digits = /^-?\d+(?:\.(\d+))?$/.exec(String(value))
  return digits !== null && (digits[1] ?? '').length <= limit
}

/** Deeper, JSON cannot be written without exhausting the call stack. */
const MOST_LEVELS = 1_000

/** As it is stored, which is with all digits: 1e308 takes more than its five characters. */
function hasAtMostBytes(limit: number, value: unknown): boolean {
  if (!hasAtMostLevels(MOST_LEVELS, value)) return false
  const text = JSON.stringify(value)
  const digits = /\de[+-]\d/.test(text) ? zerosIn(value) : 0
  return Buffer.byteLength(text) + digits <= limit
}

function zerosIn(value: unknown): number {
  if (typeof value === 'number') return Math.abs(Number(String(value).split('e')[1] ?? 0))
  if (typeof value !== 'object' || value === null) return 0
  return Object.values(value).reduce((sum: number, child) => sum + zerosIn(child), 0)
}

/** Stops at the limit, so that depth cannot exhaust the call stack. What is too great to be a number has no place either. */
function hasAtMostLevels(limit: number, value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return true
  return limit > 0 && Object.values(value).every(child => hasAtMostLevels(limit - 1, child))
}

const ajv = AjvCompiler()

/**
 * Two sets of rules, which Fastify's single Ajv does not offer: what arrives in a URL or a header is text and is coerced,
 * what arrives in a body has a type of its own and is not.
 */
export const buildValidator: BuildCompilerFromPool = externalSchemas => {
  const quick = ajv(externalSchemas, { customOptions: { ...common, allErrors: false, coerceTypes: false } })
  const thorough = ajv(externalSchemas, { customOptions: { ...common, coerceTypes: false } })
  // `1e999` is coerced to Infinity, which `strictNumbers` would exempt from the minimum and maximum of the schema.
  const coercing = ajv(externalSchemas, {
    customOptions: { ...common, coerceTypes: 'array', strictNumbers: false },
  })
  // Fastify hands over a route's part; the types of the compiler speak of a schema.
  return route => {
    if ((route as RouteDefinition).httpPart !== 'body') return coercing(route)
    const validate = bodyValidator(quick(route) as Validate, () => thorough(route) as Validate)
    return validate as ReturnType<typeof quick>
  }
}

/**
 * Looks for every fault only after one was found, and only in a body of ordinary size: half a million wrong elements in
 * a megabyte would hold up every other request for most of a second.
 */
function bodyValidator(first: Validate, compileThorough: () => Validate): Validate {
  let thorough: Validate | undefined
  const validate: Validate = value => {
    if (first(value)) return true
    validate.errors = first.errors
    if (isOfOrdinarySize(value)) {
      thorough ??= compileThorough()
      if (!thorough(value)) validate.errors = thorough.errors
    }
    return false
  }
  return validate
}

/** Stops counting as soon as the answer is known. */
function isOfOrdinarySize(body: unknown): boolean {
  const pending = [body]
  let count = 1
  while (pending.length > 0) {
    const next = pending.pop()
    if (typeof next !== 'object' || next === null) continue
    const children = Object.values(next)
    count += children.length
    if (count > MOST_VALUES) return false
    pending.push(...children)
  }
  return true
}

const parts = [
  { part: 'params', name: 'path', value: (request: FastifyRequest) => request.params },
  { part: 'querystring', name: 'query', value: (request: FastifyRequest) => request.query },
  { part: 'headers', name: 'header', value: (request: FastifyRequest) => request.headers },
  { part: 'body', name: 'body', value: (request: FastifyRequest) => request.body },
] as const satisfies { part: keyof FastifySchema; name: ProblemFault['in']; value: unknown }[]

/** Fastify stops at the first part of a request that is at fault; the caller wants to hear of every fault at once. */
export function validationProblem(request: FastifyRequest): Problem {
  const errors = parts.flatMap(({ part, name, value }) => {
    const validate = request.getValidationFunction(part) as Validate | undefined
    return validate === undefined ? [] : faultsIn(name, validate, value(request))
  })
  return faultyFields(errors)
}

/** What is wrong with a part of a request, or with a part of that; nothing if it is valid. */
function faultsIn(name: ProblemFault['in'], validate: Validate, value: unknown): ProblemFault[] {
  return validate(value) ? [] : (validate.errors ?? []).map(fault => describeFault(name, fault))
}

/** Checks what a body holds many of, one by one: a wrong one is not the fault of the others. */
export interface Check {
  isValid(value: unknown): boolean
  faultsIn(value: unknown): ProblemFault[]
}

/** By a schema that is always the same object, so that it is compiled once. `at` points to the value. */
export function checkBy(request: FastifyRequest, schema: object, at = ''): Check {
  return checkWith(request.compileValidationSchema(schema as never, 'body') as unknown as Validate, at)
}

/** The same where there is no request, as in a command. Compiles the schema each time. */
export function checkOf(schema: object): Check {
  const components = Object.fromEntries(allComponents().map(component => [component.$id, component]))
  const route = { schema, method: '', url: '', httpPart: 'body' }
  return checkWith(buildValidator(components)(route) as Validate, '')
}

function checkWith(validate: Validate, at: string): Check {
  return {
    isValid: validate,
    faultsIn: value =>
      faultsIn('body', validate, value).map(fault => ({ ...fault, pointer: at + fault.pointer })),
  }
}

function describeFault(part: ProblemFault['in'], fault: AjvFault): ProblemFault {
  const { keyword, instancePath, params } = fault
  const property = params.missingProperty ?? params.additionalProperty
  const pointer =
    property === undefined
      ? instancePath
      : `${instancePath}/${escapePointer(String(property).slice(0, LONGEST_NAME))}`
  return { in: part, pointer, code: keyword.replace('x-', ''), message: describeExpectation(fault) }
}

function describeExpectation({ keyword, params, message, parentSchema }: AjvFault): string {
  const own = parentSchema?.['x-message']
  if (typeof own === 'string' && keyword !== 'required') return own
  if (keyword === 'required') return 'is required'
  if (keyword === 'additionalProperties') return 'is not a known field'
  if (keyword === 'enum') return `must be one of ${(params.allowedValues as unknown[]).join(', ')}`
  if (keyword === 'type') return `must be ${[params.type].flat().join(' or ')}`
  return message ?? 'is not valid'
}

/** RFC 6901. */
const escapePointer = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1')
