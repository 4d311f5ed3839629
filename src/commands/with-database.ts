import { type Config, loadConfig } from '../config.ts'
import { connect } from '../db/connect.ts'
import type { Database } from '../db/types.ts'

/** What most commands need, ended when they are done. */
export async function withDatabase(
  work: (database: Database, config: Config) => Promise<number>,
): Promise<number> {
  const config = loadConfig()
  const database = await connect(config)
  try {
    return await work(database, config)
  } finally {
    await database.close()
  }
}
