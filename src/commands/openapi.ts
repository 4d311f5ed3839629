import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildApp } from '../app.ts'
import { parseConfig } from '../config.ts'
import { connectPostgres } from '../db/postgres.ts'
import { createLogger } from '../lib/log.ts'
import { packageRoot } from '../lib/package.ts'
import type { Command } from './command.ts'

const target = join(packageRoot, 'openapi.json')

const run: Command = async args => {
  const { values } = parseArgs({ args, options: { check: { type: 'boolean', default: false } } })
  const text = await openApiDocument()
  if (!values.check) {
    await writeFile(target, text)
    return 0
  }
  if ((await readFile(target, 'utf8').catch(() => '')) === text) return 0
  process.stderr.write('openapi.json is not up to date: run `npm run openapi` and commit it.\n')
  return 1
}

export default run

/** The document depends on the routes alone, so neither the environment nor a database has a say in it. */
async function openApiDocument(): Promise<string> {
  const url = 'postgres://never-connected'
  const config = parseConfig({ NODE_ENV: 'test', JWT_SECRET_KEY: 'x'.repeat(32), DATABASE_URL: url })
  const database = connectPostgres(url, config)
  const app = await buildApp(config, { database, logger: await createLogger('silent') })
  await app.ready()
  const document = app.swagger()
  await app.close()
  await database.close()
  return `${JSON.stringify(document, null, 2)}\n`
}
