import type { Config } from '../config.ts'
import type { Database } from './types.ts'

/** Opens the database that the configuration names. Only the driver that is needed is loaded. */
export async function connect(config: Config): Promise<Database> {
  if (config.DATABASE_URL !== undefined) {
    const { connectPostgres } = await import('./postgres.ts')
    return connectPostgres(config.DATABASE_URL, config)
  }
  const { openEmbedded } = await import('./embedded.ts')
  return openEmbedded(config.DATA_DIR)
}
