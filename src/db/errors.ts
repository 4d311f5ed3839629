import { DrizzleQueryError } from 'drizzle-orm/errors'
import type { Problem, ProblemConstructor } from '../lib/problem.ts'
import { Conflict, InvalidText, Unavailable, ValidationFailed } from '../lib/problems.ts'

/** What both drivers tell about a failed statement. */
interface SqlError extends Error {
  code: string
  constraint_name?: string
  constraint?: string
}

/** The drivers' and the operating system's words for "the server cannot be reached". */
const CONNECTION_CODES = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
])

/**
 * SQLSTATEs, or their classes, that say the same from the server's side: not now, but perhaps in a moment.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const UNAVAILABLE_STATES = [
  '08', // connection exception
  '25006', // read-only: a replica during a failover
  '28', // credentials are refused while they are being rotated
  '3D000', // the database does not exist yet
  '40', // still in conflict after the retries of `inTransaction`
  '53', // out of connections, memory or disk
  '55P03', // lock timeout
  '57', // shutting down, starting up, or the statement timeout
  '58', // the server's disk failed
]

const constraints = new Map<string, { problem: ProblemConstructor; detail: string }>()

/** Says which problem a violated constraint means to the client. Constraints are named, so this is a contract. */
export function onConstraint(name: string, problem: ProblemConstructor, detail: string) {
  constraints.set(name, { problem, detail })
}

/** The answer to a failed statement, or undefined when it is a bug of ours or no statement at all. */
export function databaseProblem(error: unknown): Problem | undefined {
  const cause = sqlError(error)
  if (cause === undefined) return undefined
  if (isUnavailable(cause)) {
    return new Unavailable('The database does not answer at the moment.', { cause: error })
  }
  if (cause.code === '22021' || cause.code === '22P05') {
    return new InvalidText('The input contains a character that cannot be stored.', { cause: error })
  }
  // 22: data exception. 54: a limit of Postgres itself, such as a value too long for an index.
  if (cause.code.startsWith('22') || cause.code.startsWith('54')) {
    return new ValidationFailed('A value has the wrong form or is out of range.', {
      cause: error,
      errors: [],
    })
  }
  return constraintProblem(cause)
}

function constraintProblem(cause: SqlError): Problem | undefined {
  const known = constraints.get(cause.constraint_name ?? cause.constraint ?? '')
  if (known !== undefined) return new known.problem(known.detail, { cause })
  if (cause.code === '23505') return new Conflict('A value that must be unique is taken.', { cause })
  if (cause.code === '23503')
    return new Conflict('The change refers to something that does not exist.', { cause })
  return undefined
}

/** Whether trying the same transaction again may succeed: serialisation failures and deadlocks. */
export function isRetryable(error: unknown): boolean {
  const code = sqlError(error)?.code
  return code === '40001' || code === '40P01'
}

export const isMissingTable = (error: unknown) => sqlError(error)?.code === '42P01'

/** Whether the failure says nothing about the statement, only that the database is away for now. */
export function isConnectionFailure(error: unknown): boolean {
  const cause = sqlError(error)
  return cause !== undefined && isUnavailable(cause)
}

const isUnavailable = ({ code }: SqlError) =>
  CONNECTION_CODES.has(code) || UNAVAILABLE_STATES.some(state => code.startsWith(state))

/** The error of the driver, alone or inside Drizzle's. Other sockets fail with the same codes, so where it came from counts. */
function sqlError(error: unknown): SqlError | undefined {
  const cause = error instanceof DrizzleQueryError ? error.cause : error
  if (!(cause instanceof Error) || !('code' in cause)) return undefined
  // postgres.js adds `query` to the network errors that reach a statement; both drivers add `severity` to Postgres's own.
  const fromDriver =
    cause !== error || 'query' in cause || 'severity' in cause || String(cause.code).startsWith('CONNECT')
  return fromDriver ? (cause as SqlError) : undefined
}
