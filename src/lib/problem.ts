import createError from '@fastify/error'

/** What `/problems/{code}` tells about a code. The catalogue is filled by `defineProblem`, so it cannot lag behind the code. */
export interface ProblemDefinition {
  code: string
  status: number
  title: string
  explanation: string
  remedy: string
}

export interface ProblemFault {
  in: 'body' | 'path' | 'query' | 'header'
  pointer: string
  code: string
  message: string
}

interface ProblemOptions {
  /** What really happened. Logged, never sent. */
  cause?: unknown
  errors?: ProblemFault[]
  /** Of a request that asks for several things: what came of those that failed. */
  results?: readonly object[]
  headers?: Record<string, string>
}

/** An answer that is not a success. `message` becomes the public `detail`; private facts belong in `cause`. */
export interface Problem extends Error {
  definition: ProblemDefinition
  statusCode: number
  errors: ProblemFault[] | undefined
  results: readonly object[] | undefined
  headers: Record<string, string>
}

export interface ProblemConstructor {
  new (detail: string, options?: ProblemOptions): Problem
  readonly definition: ProblemDefinition
}

const catalogue = new Map<string, ProblemDefinition>()

export function defineProblem(definition: ProblemDefinition): ProblemConstructor {
  if (catalogue.has(definition.code)) throw new Error(`The problem ${definition.code} is defined twice.`)
  catalogue.set(definition.code, definition)
  const Base = createError<[string, { cause: unknown }?]>(definition.code, '%s', definition.status)
  class DefinedProblem extends Base {
    static readonly definition = definition
    definition = definition
    override statusCode = definition.status
    errors: ProblemFault[] | undefined
    results: readonly object[] | undefined
    headers: Record<string, string>

    constructor(detail: string, { cause, errors, results, headers = {} }: ProblemOptions = {}) {
      super(detail, ...(cause === undefined ? [] : ([{ cause }] as const)))
      this.errors = errors
      this.results = results
      this.headers = headers
    }
  }
  return DefinedProblem
}

export const problemDefinitions = () => [...catalogue.values()]
export const findProblemDefinition = (code: string) => catalogue.get(code)
export const isProblem = (error: unknown): error is Problem => error instanceof Error && 'definition' in error
