import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Redis } from 'ioredis'
import { type Logger, pino } from 'pino'
import type { Test } from 'tap'
import { type App, buildApp } from '../src/app.ts'
import { type Config, parseConfig } from '../src/config.ts'
import type { Database } from '../src/db/types.ts'
import type { Role } from '../src/lib/access.ts'
import { newId } from '../src/lib/id.ts'
import { createLoggerOn } from '../src/lib/log.ts'
import { testDatabase } from './database.ts'

export function testConfig(variables: Record<string, string> = {}): Config {
  return parseConfig({ NODE_ENV: 'test', JWT_SECRET_KEY: 'only for tests, 32 characters long', ...variables })
}

interface BuildOptions {
  variables?: Record<string, string>
  /** Another database than the file's own. */
  database?: Database
  redis?: Redis | undefined
  /** Routes that only this test has. */
  routes?: FastifyPluginAsyncTypebox
  logger?: Logger
}

/** The service, on a database that no other test file shares. It is closed when the test ends. */
export async function build(t: Test, options: BuildOptions = {}): Promise<App> {
  const { variables, routes, redis, logger = pino({ level: 'silent' }) } = options
  const database = options.database ?? (await testDatabase())
  const app = await buildApp(testConfig(variables), { database, redis, logger })
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

/** The headers of a caller with this role. */
export function signedIn(app: App, role: Role = 'admin', id = newId()) {
  const token = app.jwt.sign({ sub: id, role, is_admin: role === 'admin', type: 'access' })
  return { authorization: `Bearer ${token}` }
}
