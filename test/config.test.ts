import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { describeConfig, exampleEnvironment, loadConfig, parseConfig } from '../src/config.ts'
import { Environment } from '../src/lib/environment.ts'
import type { StartupError } from '../src/lib/exit-codes.ts'
import { packageRoot } from '../src/lib/package.ts'
import { temporaryDirectory } from './processes.ts'

const JWT_SECRET_KEY = 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo'
const production = { NODE_ENV: 'production', DATABASE_URL: 'postgres://db/plinth', JWT_SECRET_KEY }

function faultsOf(variables: Record<string, string>): string[] {
  try {
    parseConfig({ JWT_SECRET_KEY, ...variables })
  } catch (error) {
    const { message, exitCode } = error as StartupError
    if (exitCode !== 78) throw error
    return message
      .split('\n')
      .slice(1)
      .map(line => line.trim())
  }
  return []
}

test('.env.example lists every variable with its default and its meaning', async t => {
  t.equal(
    readFileSync(join(packageRoot, '.env.example'), 'utf8'),
    exampleEnvironment(),
    'run `npm run --silent cli -- config --example > .env.example`',
  )
  for (const [name, schema] of Object.entries(Environment.properties)) {
    t.ok(schema.description, name)
    t.match(exampleEnvironment(), `#${name}=${schema.default ?? ''}\n`)
  }
})

test('nothing need be set', async t => {
  const directory = join(temporaryDirectory(t), 'data')
  const config = parseConfig({ DATA_DIR: directory })
  t.match(config, {
    NODE_ENV: 'development',
    HOST: '127.0.0.1',
    PORT: 3000,
    WEB_CONCURRENCY: 1,
    MIGRATE_ON_START: true,
    CORS_ORIGINS: 'localhost',
    TRUST_PROXY: false,
    JWT_ACCESS_TOKEN_EXPIRES: 3600,
    JWT_REFRESH_TOKEN_EXPIRES: 2_592_000,
    RATELIMIT_DEFAULT: '100/hour',
    SHUTDOWN_GRACE_SECONDS: 20,
  })
  t.ok(Object.isFrozen(config))
  t.ok(config.JWT_SECRET_KEY.length >= 32)
  t.equal(statSync(join(directory, 'secrets.json')).mode & 0o777, 0o600)
  t.equal(statSync(directory).mode & 0o777, 0o700)
  t.equal(parseConfig({ DATA_DIR: directory }).JWT_SECRET_KEY, config.JWT_SECRET_KEY, 'made once')
})

test('an empty variable is one that is not set', async t => {
  t.equal(parseConfig({ JWT_SECRET_KEY, PORT: '', DATABASE_URL: ' ' }).PORT, 3000)
})

test('text becomes numbers, booleans and lists', async t => {
  const config = parseConfig({
    JWT_SECRET_KEY,
    PORT: '8080',
    MIGRATE_ON_START: 'false',
    RATELIMIT_ENABLED: '0',
    CORS_ORIGINS: 'https://a.example.com, http://localhost:5173',
    TRUST_PROXY: 'loopback, 10.0.0.0/8, 2001:db8::/32',
    RATELIMIT_DEFAULT: '100/hour; 10/second',
  })
  t.equal(config.PORT, 8080)
  t.equal(config.MIGRATE_ON_START, false)
  t.equal(config.RATELIMIT_ENABLED, false)
  t.strictSame(config.CORS_ORIGINS, ['https://a.example.com', 'http://localhost:5173'])
  t.strictSame(config.TRUST_PROXY, ['loopback', '10.0.0.0/8', '2001:db8::/32'])
  t.equal(parseConfig({ JWT_SECRET_KEY, TRUST_PROXY: '2' }).TRUST_PROXY, 2)
  t.equal(parseConfig({ JWT_SECRET_KEY, CORS_ORIGINS: '*' }).CORS_ORIGINS, '*')
})

test('every fault is reported at once, by name, without its value', async t => {
  const wrong = {
    PORT: 'planted-70000',
    LOG_LEVEL: 'planted',
    NODE_ENV: 'planted',
    DATABASE_URL: 'mysql://user:planted@host/db',
    REDIS_URL: 'planted',
    JWT_SECRET_KEY: 'planted',
    CORS_ORIGINS: 'https://planted.example.com/path',
    RATELIMIT_DEFAULT: 'planted',
    RATELIMIT_ENABLED: 'planted',
    TRUST_PROXY: '10.0.0.0/99',
    WEB_CONCURRENCY: '0',
    SHUTDOWN_DELAY_SECONDS: '-1',
  }
  const faults = faultsOf(wrong)
  t.strictSame(faults.map(fault => fault.split(' ')[0]).sort(), Object.keys(wrong).sort())
  t.notMatch(faults.join('\n'), /planted/)
})

test('trusting every proxy is not a choice', async t => {
  t.match(faultsOf({ TRUST_PROXY: 'true' }), [/^TRUST_PROXY must be/])
})

test('production demands a database and a real secret', async t => {
  t.strictSame(
    faultsOf({ NODE_ENV: 'production', JWT_SECRET_KEY: '' }).map(fault => fault.split(' ')[0]),
    ['DATABASE_URL', 'JWT_SECRET_KEY'],
  )
  for (const guessable of [
    'a'.repeat(40),
    'change-me-change-me-change-me-0123456789',
    'my-super-secret-key-0123456789abcdef',
  ]) {
    t.match(
      faultsOf({ ...production, JWT_SECRET_KEY: guessable }),
      [/^JWT_SECRET_KEY must be random/],
      guessable,
    )
  }
  const config = parseConfig(production)
  t.equal(config.MIGRATE_ON_START, false)
  t.equal(config.HOST, '0.0.0.0')
  t.strictSame(config.CORS_ORIGINS, [])
  t.equal(parseConfig({ ...production, MIGRATE_ON_START: 'true' }).MIGRATE_ON_START, true)
})

test('the delay is a part of the grace', async t => {
  t.match(faultsOf({ SHUTDOWN_DELAY_SECONDS: '30' }), [/^SHUTDOWN_DELAY_SECONDS must not be longer/])
  t.equal(parseConfig({ JWT_SECRET_KEY, HOST: 'localhost' }).HOST, '127.0.0.1')
})

test('several processes cannot share the embedded database', async t => {
  t.match(faultsOf({ WEB_CONCURRENCY: '2' }), [/^WEB_CONCURRENCY above 1 needs DATABASE_URL/])
  t.strictSame(faultsOf({ WEB_CONCURRENCY: '2', DATABASE_URL: 'postgres://db/plinth' }), [])
})

test('the configuration is shown without its secrets', async t => {
  const text = describeConfig(
    parseConfig({ ...production, REDIS_URL: 'redis://:planted@host', MAIL_PASSWORD: 'planted' }),
  ).join('\n')
  t.match(text, /^DATABASE_URL=\*{8}$/m)
  t.match(text, /^REDIS_URL=\*{8}$/m)
  t.match(text, /^MAIL_PASSWORD=\*{8}$/m)
  t.match(text, /^JWT_SECRET_KEY=\*{8}$/m)
  t.match(text, /^PORT=3000$/m)
  t.match(text, /^MAIL_SERVER=$/m)
  t.notMatch(text, /planted/)
  t.notMatch(text, JWT_SECRET_KEY)
})

test('.env is read where the process starts, and the environment wins', async t => {
  const directory = temporaryDirectory(t)
  const before = process.cwd()
  const names = ['PORT', 'DATA_DIR', 'MAIL_SERVER'] as const
  process.chdir(directory)
  t.teardown(() => {
    process.chdir(before)
    for (const name of names) delete process.env[name]
  })
  writeFileSync('.env', 'PORT=4001\nMAIL_SERVER=from-file\n')
  process.env.PORT = '4002'
  process.env.DATA_DIR = join(directory, 'data')
  const config = loadConfig()
  t.equal(config.PORT, 4002)
  t.equal(config.MAIL_SERVER, 'from-file')
})

test('a data directory that cannot be used is one sentence, and secrets are not quoted', async t => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'secrets.json')
  for (const damaged of ['', '{}', '{"JWT_SECRET_KEY":"planted', '{ "JWT_SECRET_KEY": "short" }']) {
    writeFileSync(file, damaged)
    t.throws(() => parseConfig({ DATA_DIR: directory }), {
      name: 'Error',
      message: `${file} is damaged; delete it, and new secrets are made.`,
    })
  }
  t.throws(() => parseConfig({ DATA_DIR: file }), {
    message: /cannot be used \(EEXIST\)|cannot be used \(ENOTDIR\)/,
    exitCode: 1,
  })
  t.throws(() => parseConfig({ DATA_DIR: '/dev/null/x' }), { message: /cannot be used \(ENOTDIR\)/ })
})

test('a database URL may name several hosts, and must be decodable', async t => {
  const several = 'postgres://user:p,w@one:5432,two:5433/plinth'
  t.equal(parseConfig({ JWT_SECRET_KEY, DATABASE_URL: several }).DATABASE_URL, several)
  t.match(faultsOf({ DATABASE_URL: 'postgres://user:100%@host/db' }), [/^DATABASE_URL must be/])
})

test('common passwords are refused in production, unless that is turned off', async t => {
  t.equal(parseConfig(production).PASSWORD_BLOCKLIST, true)
  t.equal(parseConfig({ ...production, PASSWORD_BLOCKLIST: 'false' }).PASSWORD_BLOCKLIST, false)
  t.equal(parseConfig({ JWT_SECRET_KEY }).PASSWORD_BLOCKLIST, false)
  t.equal(parseConfig({ JWT_SECRET_KEY, PASSWORD_BLOCKLIST: 'true' }).PASSWORD_BLOCKLIST, true)
})
