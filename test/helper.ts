import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Redis } from 'ioredis'
import { type Logger, pino } from 'pino'
import type { Test } from 'tap'
import { sessions, users } from '../src/accounts/tables.ts'
import { type App, buildApp, type Resources } from '../src/app.ts'
import { type Config, parseConfig } from '../src/config.ts'
import type { Database } from '../src/db/types.ts'
import { tellCommitted } from '../src/events/committed.ts'
import type { Role } from '../src/lib/access.ts'
import { newId } from '../src/lib/id.ts'
import { createLoggerOn } from '../src/lib/log.ts'
import { testDatabase } from './database.ts'

export function testConfig(variables: Record<string, string> = {}): Config {
  return parseConfig({
    NODE_ENV: 'test',
    JWT_SECRET_KEY: 'only for tests, 32 characters long',
    // All requests of a test come from one address.
    RATELIMIT_ENABLED: 'false',
    ...variables,
  })
}

interface BuildOptions {
  variables?: Record<string, string>
  /** Another database than the file's own. */
  database?: Database
  redis?: Redis | undefined
  /** Routes that only this test has. */
  routes?: FastifyPluginAsyncTypebox
  logger?: Logger
  resolve?: Resources['resolve']
  heap?: Resources['heap']
}

/** The service, on a database that no other test file shares. It is closed when the test ends. */
export async function build(t: Test, options: BuildOptions = {}): Promise<App> {
  const { variables, routes, redis, logger = pino({ level: 'silent' }), resolve, heap } = options
  const database = options.database ?? (await testDatabase())
  const app = await buildApp(testConfig(variables), { database, redis, logger, resolve, heap })
  if (routes) await app.register(routes)
  await app.ready()
  t.teardown(() => app.close())
  return app
}

/** The same over a real socket, for what the wire decides. */
export async function listen(
  t: Test,
  options: BuildOptions = {},
): Promise<{ app: App; url: string; port: number }> {
  const app = await build(t, options)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, url, port: Number(new URL(url).port) }
}

/** A logger whose lines can be read back. */
export function recordingLogger(level = 'trace') {
  const written: string[] = []
  const logger = createLoggerOn({ write: (line: string) => written.push(line) }, level)
  return { logger, text: () => written.join(''), lines: () => written.map(line => JSON.parse(line)) }
}

/** What a route of a test says about itself: the least that boots. */
export function probe<const S extends object = object>(operationId: string, schema = {} as S) {
  const config = { access: 'public' as const }
  const response = { 200: Type.Unknown() }
  return { config, schema: { operationId, summary: operationId, tags: ['test'], response, ...schema } }
}

interface Caller {
  id: string
  email: string
  session_id: string
  headers: { authorization: string }
}

/** A user with this role who is signed in, without the cost of a password. */
export async function aUser(app: App, role: Role = 'user', fields: object = {}): Promise<Caller> {
  const { db } = app.database
  const id = newId()
  const email = `${id}@example.com`
  const names = { first_name: 'Ada', last_name: 'Lovelace' }
  await db.insert(users).values({ id, email, password_hash: 'none', role, ...names, ...fields })
  const session_id = newId()
  const expires_at = new Date(Date.now() + 3_600_000)
  await db.insert(sessions).values({ id: session_id, user_id: id, secret_hash: Buffer.alloc(32), expires_at })
  const token = app.accessTokens.sign({ user_id: id, session_id, role })
  return { id, email, session_id, headers: { authorization: `Bearer ${token}` } }
}

/** Says what a service would have said, after a change that a test has made without one. */
export const tellChange = ({ database: { db } }: App, type: string, owner_id: string | null = null) =>
  tellCommitted(db, { type, owner_id })

/** The headers of a caller with this role. */
export const signedIn = async (app: App, role: Role = 'admin') => (await aUser(app, role)).headers
