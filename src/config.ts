import { existsSync, readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { FormatRegistry, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { developmentSecrets } from './lib/development-secrets.ts'
import { Environment } from './lib/environment.ts'
import { EXIT_CONFIG, StartupError } from './lib/exit-codes.ts'
import { formats, isHopCount, splitList } from './lib/formats.ts'

for (const [name, { check }] of Object.entries(formats)) FormatRegistry.Set(name, check)

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
