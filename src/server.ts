import cluster from 'node:cluster'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { buildApp } from './app.ts'
import type { Config } from './config.ts'
import { connect } from './db/connect.ts'
import { migrateWhenReachable } from './db/migrate.ts'
import type { Database } from './db/types.ts'
import { banner } from './lib/banner.ts'
import { drain } from './lib/drain.ts'
import { StartupError } from './lib/exit-codes.ts'
import { isMain } from './lib/is-main.ts'
import type { Lifecycle } from './lib/lifecycle.ts'
import { packageVersion } from './lib/package.ts'
import { type Running, runProcess, type Surroundings } from './process.ts'
import { connectRedis } from './redis/connect.ts'

/** Long enough for a request that left the client before it could know, short enough for a person who waits. */
const IDLE_CONNECTION_MS = 500

/** The web process. It listens before it migrates, so that probes get an answer meanwhile. */
export async function startServer({ config, logger }: Surroundings): Promise<Running> {
  const lifecycle: Lifecycle = { phase: 'starting' }
  const database = await connect(config)
  const redis = connectRedis(config)
  const app = await buildApp(config, { database, redis, logger, lifecycle })
  const address = await listen(() => app.listen({ host: config.HOST, port: config.PORT }), config)

  prepareSchema().then(announce, error => {
    logger.fatal({ err: error }, 'could not migrate')
    process.exit(1)
  })

  return {
    async stop(impatient) {
      lifecycle.phase = 'draining'
      const cut = await drain(app.server, {
        delayMs: impatient ? 0 : config.SHUTDOWN_DELAY_SECONDS * 1000,
        idleMs: impatient ? 0 : IDLE_CONNECTION_MS,
        graceMs: config.SHUTDOWN_GRACE_SECONDS * 1000,
      })
      if (cut > 0) logger.warn({ cut }, 'the time to stop ran out: connections were cut')
      await app.close()
      redis?.disconnect()
      await database.close()
    },
  }

  async function prepareSchema() {
    if (!config.MIGRATE_ON_START) return
    lifecycle.phase = 'migrating'
    const applied = await migrateWhenReachable(database, logger)
    if (applied > 0) logger.info({ applied }, 'migrated')
  }

  function announce() {
    // A signal may have come first.
    if (lifecycle.phase === 'draining') return
    lifecycle.phase = 'serving'
    const { port } = app.server.address() as AddressInfo
    logger.info({ address, port, version: packageVersion, database: database.kind }, 'ready')
    process.send?.('ready')
    if (!cluster.isWorker) banner(process.stdout, address, dataPlace(database, config))
  }
}

async function listen(start: () => Promise<string>, { PORT }: Config): Promise<string> {
  try {
    return await start()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new StartupError(`Port ${PORT} is in use; stop what uses it, or set PORT to another.`)
  }
}

const dataPlace = ({ kind }: Database, { DATA_DIR }: Config) =>
  kind === 'embedded' ? `${resolve(DATA_DIR)} (embedded Postgres)` : 'Postgres, by DATABASE_URL'

if (isMain(import.meta.url)) await runProcess(startServer)
