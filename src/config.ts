import { existsSync, readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { FormatRegistry, type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { developmentSecrets } from './lib/development-secrets.ts'
import { EXIT_CONFIG, StartupError } from './lib/exit-codes.ts'
import { formats, isHopCount, splitList } from './lib/formats.ts'

for (const [name, { check }] of Object.entries(formats)) FormatRegistry.Set(name, check)

/** Marks what `plinth config` masks and what may never reach a log. */
const secret = { secret: true }

/**
 * Every variable that Plinth reads, with its default and one line of meaning; `.env.example` is printed from this.
 * A default that depends on `NODE_ENV` stands in `resolveDefaults`, and its description says so.
 */
export const Environment = Type.Object({
  NODE_ENV: Type.String({
    format: 'node-env',
    default: 'development',
    description: 'development, test or production; production refuses development conveniences',
  }),
  HOST: Type.Optional(
    Type.String({ description: 'Address to listen on; default 127.0.0.1, in production 0.0.0.0' }),
  ),
  PORT: Type.Integer({
    default: 3000,
    minimum: 0,
    maximum: 65535,
    description: 'Port to listen on; 0 takes any free one',
  }),
  WEB_CONCURRENCY: Type.Integer({
    default: 1,
    minimum: 1,
    maximum: 256,
    description: 'Web processes; more than one needs DATABASE_URL',
  }),
  WORKER: Type.Boolean({
    default: true,
    description: 'Whether web processes run background jobs too; false where `npm run worker` does',
  }),
  LOG_LEVEL: Type.String({
    format: 'log-level',
    default: 'info',
    description: 'fatal, error, warn, info, debug, trace or silent',
  }),
  DATA_DIR: Type.String({
    default: '.data',
    minLength: 1,
    description: 'Where the embedded database and the development secrets live',
  }),
  DATABASE_URL: Type.Optional(
    Type.String({
      format: 'postgres-url',
      description: 'postgres://…; without it the embedded database in DATA_DIR is used',
      ...secret,
    }),
  ),
  DATABASE_POOL_SIZE: Type.Integer({
    default: 10,
    minimum: 1,
    maximum: 1000,
    description: 'Connections to Postgres per process',
  }),
  DATABASE_STATEMENT_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 100,
    maximum: 3_600_000,
    description: 'Longest time for one statement',
  }),
  DATABASE_LOCK_TIMEOUT_MS: Type.Integer({
    default: 5_000,
    minimum: 100,
    maximum: 3_600_000,
    description: 'Longest wait for a lock',
  }),
  DATABASE_IDLE_TRANSACTION_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 100,
    maximum: 3_600_000,
    description: 'Longest pause inside a transaction before Postgres ends it',
  }),
  MIGRATE_ON_START: Type.Optional(
    Type.Boolean({ description: 'Apply migrations when starting; default true, in production false' }),
  ),
  AUDIT_RETENTION_DAYS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 36_500,
      description: 'How long events are kept, then dropped by whole months; default for ever',
    }),
  ),
  REDIS_URL: Type.Optional(
    Type.String({
      format: 'redis-url',
      description: 'redis://…; what processes share besides the database',
      ...secret,
    }),
  ),
  JWT_SECRET_KEY: Type.Optional(
    Type.String({
      minLength: 32,
      description: 'Signs access tokens, 32 characters or more; made in DATA_DIR outside production',
      ...secret,
    }),
  ),
  JWT_SECRET_KEY_PREVIOUS: Type.Optional(
    Type.String({
      minLength: 32,
      description: 'The key before JWT_SECRET_KEY, while what it signed and sealed is still about',
      ...secret,
    }),
  ),
  JWT_PRIVATE_KEY: Type.Optional(
    Type.String({
      format: 'ed25519-private-key',
      description: 'Signs access tokens by EdDSA instead: an Ed25519 key in PEM, line breaks written as \\n',
      ...secret,
    }),
  ),
  JWT_PUBLIC_KEY_PREVIOUS: Type.Optional(
    Type.String({
      format: 'ed25519-public-key',
      description: 'The public half of the JWT_PRIVATE_KEY before, in PEM, while its tokens are still about',
    }),
  ),
  JWT_ACCESS_TOKEN_EXPIRES: Type.Integer({
    default: 3600,
    minimum: 1,
    description: 'Life of an access token in seconds',
  }),
  JWT_REFRESH_TOKEN_EXPIRES: Type.Integer({
    default: 2_592_000,
    minimum: 1,
    description: 'Life of a refresh token in seconds',
  }),
  ARGON2_MEMORY_COST: Type.Integer({
    default: 19_456,
    minimum: 8_192,
    maximum: 1_048_576,
    description: 'Memory for hashing a password, in KiB',
  }),
  ARGON2_TIME_COST: Type.Integer({
    default: 2,
    minimum: 1,
    maximum: 100,
    description: 'Passes over that memory',
  }),
  ARGON2_PARALLELISM: Type.Integer({
    default: 1,
    minimum: 1,
    maximum: 64,
    description: 'Lanes in that memory',
  }),
  PASSWORD_BLOCKLIST: Type.Optional(
    Type.Boolean({ description: 'Refuse passwords that everybody uses; default false, in production true' }),
  ),
  REGISTRATION_OPEN: Type.Boolean({ default: true, description: 'Whether anybody may register' }),
  REQUIRE_VERIFIED_EMAIL: Type.Boolean({
    default: false,
    description: 'Whether a user must have verified the e-mail before anything but the account itself',
  }),
  REQUIRE_IF_MATCH: Type.Boolean({
    default: false,
    description: 'Whether a change must say in If-Match which version it is made to',
  }),
  PURGE_AFTER_DAYS: Type.Integer({
    default: 30,
    minimum: 1,
    maximum: 36_500,
    description: 'How long what was deleted can be restored; then it is removed for good',
  }),
  APP_URL: Type.Optional(
    Type.String({
      format: 'web-url',
      description: 'Where the front-end is: mails link to its pages; default http://localhost:PORT',
    }),
  ),
  CORS_ORIGINS: Type.Optional(
    Type.String({
      format: 'origins',
      description: 'Comma-separated origins, or *; default any localhost origin, in production none',
    }),
  ),
  RATELIMIT_ENABLED: Type.Boolean({ default: true, description: 'Whether requests are limited at all' }),
  RATELIMIT_DEFAULT: Type.String({
    format: 'rate-limits',
    default: '100/hour',
    description: 'Limits for anonymous callers, as in 100/hour; 10/second',
  }),
  MAIL_SERVER: Type.Optional(Type.String({ minLength: 1, description: 'SMTP host that sends the mail' })),
  MAIL_PORT: Type.Integer({ default: 587, minimum: 1, maximum: 65535, description: 'SMTP port' }),
  MAIL_USE_TLS: Type.Boolean({
    default: true,
    description: 'Demand TLS of the SMTP server: from the first byte on port 465, by STARTTLS elsewhere',
  }),
  MAIL_USERNAME: Type.Optional(Type.String({ description: 'SMTP user' })),
  MAIL_PASSWORD: Type.Optional(Type.String({ description: 'SMTP password', ...secret })),
  MAIL_FROM: Type.String({
    default: 'Plinth <no-reply@localhost>',
    description: 'Sender of every mail',
  }),
  TRUST_PROXY: Type.Optional(
    Type.String({
      format: 'proxies',
      description:
        'Proxies whose X-Forwarded-For is believed: addresses, ranges, loopback, or a number of hops that nobody can go round',
    }),
  ),
  REQUEST_TIMEOUT_SECONDS: Type.Integer({
    default: 30,
    minimum: 1,
    maximum: 3600,
    description: 'Longest time for a request to arrive',
  }),
  SHUTDOWN_DELAY_SECONDS: Type.Number({
    default: 1,
    minimum: 0,
    maximum: 3600,
    description: 'After SIGTERM, how long to go on accepting while readiness already says 503',
  }),
  SHUTDOWN_GRACE_SECONDS: Type.Number({
    default: 20,
    minimum: 0,
    maximum: 3600,
    description: 'After SIGTERM, when to end even if requests are unfinished',
  }),
})

type Environment = Static<typeof Environment>

/** Whose value is not simply what the variable says. */
type OwnTypes =
  | 'APP_URL'
  | 'CORS_ORIGINS'
  | 'HOST'
  | 'JWT_SECRET_KEY'
  | 'MIGRATE_ON_START'
  | 'PASSWORD_BLOCKLIST'
  | 'TRUST_PROXY'

/** The environment, checked, completed and frozen. A property has the name of its variable. */
export type Config = Readonly<
  Omit<Environment, OwnTypes> & {
    APP_URL: string
    CORS_ORIGINS: 'localhost' | '*' | readonly string[]
    HOST: string
    JWT_SECRET_KEY: string
    MIGRATE_ON_START: boolean
    PASSWORD_BLOCKLIST: boolean
    TRUST_PROXY: false | number | readonly string[]
  }
>

type Variables = Record<string, string | undefined>

/** Reads `.env`, if there is one, and the environment, which wins. Throws a `StartupError` that lists every fault. */
export function loadConfig(): Config {
  // Not loaded into `process.env`, which successors inherit: they should read the file as it is then.
  const file = existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {}
  return parseConfig({ ...file, ...process.env })
}

export function parseConfig(variables: Variables): Config {
  const environment = readVariables(variables)
  const faults = [...schemaFaults(environment), ...ruleFaults(environment)]
  if (faults.length > 0) {
    const list = faults.map(fault => `  ${fault}`).join('\n')
    throw new StartupError(`The configuration is not valid:\n${list}`, EXIT_CONFIG)
  }
  return Object.freeze(resolveDefaults(environment as Environment))
}

/** The effective configuration as lines of `NAME=value`, secrets masked. */
export function describeConfig(config: Config): string[] {
  return Object.entries(Environment.properties).map(([name, schema]) => {
    const value = config[name as keyof Config]
    if (value === undefined) return `${name}=`
    return `${name}=${isSecret(schema) ? '********' : value}`
  })
}

/** The text of `.env.example`. */
export function exampleEnvironment(): string {
  return Object.entries(Environment.properties)
    .map(([name, schema]) => `# ${schema.description}\n#${name}=${schema.default ?? ''}\n`)
    .join('\n')
}

const isSecret = (schema: TSchema) => schema.secret === true

function readVariables(variables: Variables): Record<string, unknown> {
  const given = Object.keys(Environment.properties).flatMap(name => {
    const value = variables[name]?.trim()
    // An empty variable is how compose files and shells say "not set".
    return value ? [[name, value] as const] : []
  })
  const converted = Value.Convert(Environment, Object.fromEntries(given))
  return Value.Default(Environment, converted) as Record<string, unknown>
}

/** One line per fault, without the value: it may be a secret. */
function schemaFaults(environment: Record<string, unknown>): string[] {
  const faults = [...Value.Errors(Environment, environment)]
  return faults.map(({ path, schema }) => `${path.slice(1)} must be ${expectation(schema)}`)
}

function expectation(schema: TSchema): string {
  if (schema.format) return formats[schema.format as keyof typeof formats].expects
  if (schema.type === 'boolean') return 'true or false'
  if (schema.type === 'string') return `at least ${schema.minLength} characters long`
  const kind = schema.type === 'integer' ? 'a whole number' : 'a number'
  const range =
    schema.maximum === undefined ? `${schema.minimum} or more` : `${schema.minimum} to ${schema.maximum}`
  return `${kind}, ${range}`
}

/** What no single variable can tell. */
function ruleFaults(environment: Record<string, unknown>) {
  const { NODE_ENV, DATABASE_URL, JWT_SECRET_KEY, WEB_CONCURRENCY, MAIL_SERVER, APP_URL } = environment
  const { JWT_PRIVATE_KEY, JWT_PUBLIC_KEY_PREVIOUS } = environment
  const faults: string[] = []
  if (Number(environment.SHUTDOWN_DELAY_SECONDS) > Number(environment.SHUTDOWN_GRACE_SECONDS)) {
    faults.push(
      'SHUTDOWN_DELAY_SECONDS must not be longer than SHUTDOWN_GRACE_SECONDS, of which it is a part',
    )
  }
  if (JWT_PUBLIC_KEY_PREVIOUS !== undefined && JWT_PRIVATE_KEY === undefined) {
    faults.push('JWT_PUBLIC_KEY_PREVIOUS is of use only with the JWT_PRIVATE_KEY that came after it')
  }
  if (NODE_ENV === 'production') {
    if (DATABASE_URL === undefined) faults.push('DATABASE_URL is required when NODE_ENV=production')
    if (JWT_SECRET_KEY === undefined) faults.push('JWT_SECRET_KEY is required when NODE_ENV=production')
    else if (isGuessable(String(JWT_SECRET_KEY))) {
      faults.push(
        'JWT_SECRET_KEY must be random when NODE_ENV=production; `openssl rand -base64 48` makes one',
      )
    }
    if (MAIL_SERVER !== undefined && APP_URL === undefined) {
      faults.push('APP_URL is required with MAIL_SERVER when NODE_ENV=production: mails link to it')
    }
  }
  if (DATABASE_URL === undefined && Number(WEB_CONCURRENCY) > 1) {
    faults.push('WEB_CONCURRENCY above 1 needs DATABASE_URL: the embedded database belongs to one process')
  }
  return faults
}

/** Catches placeholders such as "change-me-change-me-…" and "aaaa…"; 32 random bytes never look like that. */
function isGuessable(key: string): boolean {
  return new Set(key).size < 12 || /secret|change.?me|example|password|default|placeholder/i.test(key)
}

function resolveDefaults(environment: Environment): Config {
  const production = environment.NODE_ENV === 'production'
  return {
    ...environment,
    APP_URL: (environment.APP_URL ?? `http://localhost:${environment.PORT}`).replace(/\/+$/, ''),
    HOST: resolveHost(environment.HOST, production),
    MIGRATE_ON_START: environment.MIGRATE_ON_START ?? !production,
    JWT_SECRET_KEY: environment.JWT_SECRET_KEY ?? developmentSecrets(environment.DATA_DIR).JWT_SECRET_KEY,
    PASSWORD_BLOCKLIST: environment.PASSWORD_BLOCKLIST ?? production,
    CORS_ORIGINS: resolveOrigins(environment.CORS_ORIGINS, production),
    TRUST_PROXY: resolveProxies(environment.TRUST_PROXY),
  }
}

/** `localhost` is two addresses, for which Fastify would open a second server that nothing here watches over. */
function resolveHost(host: string | undefined, production: boolean): string {
  if (host === undefined) return production ? '0.0.0.0' : '127.0.0.1'
  return host === 'localhost' ? '127.0.0.1' : host
}

function resolveOrigins(origins: string | undefined, production: boolean): Config['CORS_ORIGINS'] {
  if (origins === undefined) return production ? [] : 'localhost'
  return origins === '*' ? '*' : splitList(origins)
}

function resolveProxies(proxies: string | undefined): Config['TRUST_PROXY'] {
  if (proxies === undefined) return false
  return isHopCount(proxies) ? Number(proxies) : splitList(proxies)
}
