import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { start } from 'node:repl'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { sql } from 'drizzle-orm'
import { buildApp } from '../app.ts'
import { loadConfig } from '../config.ts'
import { connect } from '../db/connect.ts'
import { createLogger } from '../lib/log.ts'
import { connectRedis } from '../redis/connect.ts'
import type { Command } from './command.ts'

const WELCOME = `db, sql, app, config and redis are here; await works. For example:
  await db.execute(sql\`select now()\`)
  (await app.inject('/health')).json()
`

const run: Command = async () => {
  const config = loadConfig()
  const database = await connect(config)
  const redis = connectRedis(config)
  const app = await buildApp(config, { database, redis, logger: await createLogger('warn') })
  const context = { db: database.db, sql, app, config, redis }
  if (process.stdin.isTTY) await converse(context, config.DATA_DIR)
  else await runScript(context, await text(process.stdin))

  await app.close()
  redis?.disconnect()
  await database.close()
  return 0
}

export default run

async function converse(context: object, dataDir: string) {
  process.stdout.write(WELCOME)
  const repl = start({ prompt: 'plinth> ' })
  Object.assign(repl.context, context)
  // In production there is no such directory, and nowhere to make it.
  if (existsSync(dataDir)) repl.setupHistory(join(dataDir, 'shell-history'), () => {})
  await once(repl, 'exit')
}

/** What comes through a pipe is one asynchronous function; of a single expression, the value is printed. */
async function runScript(context: object, script: string) {
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor
  const names = Object.keys(context)
  let compiled: (...values: unknown[]) => Promise<unknown>
  try {
    compiled = AsyncFunction(...names, `return (${script.trim()}\n)`) as typeof compiled
  } catch {
    compiled = AsyncFunction(...names, script) as typeof compiled
  }
  const value = await compiled(...Object.values(context))
  if (value !== undefined) process.stdout.write(`${inspect(value, { depth: 4 })}\n`)
}
