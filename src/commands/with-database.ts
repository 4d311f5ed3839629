import { pino } from 'pino'
import { type Config, loadConfig } from '../config.ts'
import { connect } from '../db/connect.ts'
import type { Database } from '../db/types.ts'
import { tellKeepers } from '../kept.ts'

/** What most commands need, ended when they are done. */
export async function withDatabase(
  work: (database: Database, config: Config) => Promise<number>,
): Promise<number> {
  const config = loadConfig()
  const database = await connect(config)
  const telling = tellKeepers(config, database, pino({ level: 'silent' }))
  try {
    return await work(database, config)
  } finally {
    await telling.end()
    await database.close()
  }
}
