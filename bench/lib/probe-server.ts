import { sql } from 'drizzle-orm'
import { buildApp } from '../../src/app.ts'
import { connect } from '../../src/db/connect.ts'
import { firstRow } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Database } from '../../src/db/types.ts'
import { prepareDatabase } from '../../src/prepare.ts'
import { type Running, runProcess, type Surroundings } from '../../src/process.ts'

// The service with two routes that need the database: one statement on the pool, and one in a transaction.

const tags = ['bench']
const config = { access: 'public' } as const
const response = {
  200: {
    description: 'The database answered.',
    type: 'object',
    required: ['answer'],
    properties: { answer: { type: 'integer' } },
  },
} as const

await runProcess(startProbeServer)

async function startProbeServer({ config: settings, logger }: Surroundings): Promise<Running> {
  const database = await connect(settings)
  await prepareDatabase(database)
  const app = await buildApp(settings, { database, logger })
  app.get(
    '/api/v1/bench-probe',
    { config, schema: { operationId: 'probeStatement', summary: 'Run one statement', tags, response } },
    () => askStatement(database),
  )
  app.get(
    '/api/v1/bench-probe-transaction',
    { config, schema: { operationId: 'probeTransaction', summary: 'Run one transaction', tags, response } },
    () => inTransaction(database.db, tx => firstRow(tx, sql`select 42 as answer`)),
  )
  await app.listen({ host: settings.HOST, port: settings.PORT })
  logger.error('ready')

  return {
    async stop() {
      await app.close()
      await database.close()
    },
  }
}

const askStatement = ({ db }: Database) => firstRow(db, sql`select 42 as answer`)
