import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { start } from 'node:repl'
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
  const interactive = process.stdin.isTTY === true
  if (interactive) process.stdout.write(WELCOME)

  const repl = start({ prompt: interactive ? 'plinth> ' : '', terminal: interactive })
  Object.assign(repl.context, { db: database.db, sql, app, config, redis })
  if (interactive) {
    mkdirSync(config.DATA_DIR, { recursive: true, mode: 0o700 })
    repl.setupHistory(join(config.DATA_DIR, 'shell-history'), () => {})
  }
  await new Promise(resolve => repl.once('exit', resolve))

  await app.close()
  redis?.disconnect()
  await database.close()
  return 0
}

export default run
