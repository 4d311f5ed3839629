import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'

const SECRET_KEYS = [
  'authorization',
  'cookie',
  '["set-cookie"]',
  '["x-api-key"]',
  'password',
  'current_password',
  'new_password',
  'secret',
  'token',
  'access_token',
  'refresh_token',
  'mfa_token',
]

const options = {
  timestamp: pino.stdTimeFunctions.isoTime,
  base: { pid: process.pid },
  // Fastify logs requests here and there by itself; a query may hold anything.
  serializers: { err: describeError, req: ({ method }: { method?: string }) => ({ method }) },
  // The second line of defence: nothing here logs headers or bodies in the first place.
  redact: {
    paths: SECRET_KEYS.flatMap(key => [key, key.startsWith('[') ? `*${key}` : `*.${key}`]),
    censor: '[redacted]',
  },
} satisfies LoggerOptions

/** JSON lines on standard output; for people, when that is a terminal. */
export async function createLogger(level: string): Promise<Logger> {
  return createLoggerOn(process.stdout.isTTY ? await prettyStream() : pino.destination({ sync: true }), level)
}

export function createLoggerOn(stream: DestinationStream, level: string): Logger {
  return pino({ ...options, level }, stream)
}

async function prettyStream() {
  const { default: pretty } = await import('pino-pretty')
  return pretty({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l', singleLine: true, sync: true })
}

/** What the database drivers add to an error. */
interface SqlFacts {
  code?: unknown
  constraint?: unknown
  constraint_name?: unknown
}

interface ErrorDescription {
  type: string
  message: string
  code?: unknown
  constraint?: unknown
  stack: string[]
  cause?: ErrorDescription
}

/**
 * An error without the values that people sent. Drizzle puts the parameters into its message, the first line of a stack
 * repeats the message, and Postgres quotes the value it could not read; `detail`, `hint` and `where` are left out whole.
 */
export function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof Error))
    return { type: typeof error, message: 'Something other than an error was thrown.', stack: [] }
  const { code, constraint, constraint_name = constraint } = error as Error & SqlFacts
  return {
    type: error.name,
    message: publicMessage(error, code),
    ...(code !== undefined && { code }),
    ...(constraint_name !== undefined && { constraint: constraint_name }),
    stack: framesOf(error)
      .split('\n')
      .filter(line => /^\s+at /.test(line))
      .map(line => line.trim()),
    ...(error.cause !== undefined && { cause: describeError(error.cause) }),
  }
}

/** The innermost cause: "Failed query: select 1" says less than "connection refused". */
export function rootCause(error: unknown): unknown {
  let root = error
  while (root instanceof Error && root.cause !== undefined) root = root.cause
  return root
}

/** What follows the message, which begins a stack and may look like frames itself. */
function framesOf({ stack = '', message }: Error): string {
  const start = stack.indexOf(message)
  return start === -1 ? stack : stack.slice(start + message.length)
}

function publicMessage(error: Error, code: unknown): string {
  // Drizzle's; PGlite has the same properties on the cause.
  if ('query' in error && error.message.startsWith('Failed query')) return `Failed query: ${error.query}`
  // Class 22, "data exception", is the one whose messages quote values.
  if (typeof code === 'string' && /^22...$/.test(code)) return error.message.replace(/".*"/s, '"…"')
  // JSON.parse quotes the text around the fault.
  if (error instanceof SyntaxError) return error.message.replace(/[,:]? ?"?\.{0,3}".*"/s, '')
  return error.message
}
