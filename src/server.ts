import cluster from 'node:cluster'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { buildApp } from './app.ts'
import type { Config } from './config.ts'
import { connect } from './db/connect.ts'
import type { Database } from './db/types.ts'
import { banner } from './lib/banner.ts'
import { giveMetrics } from './lib/cluster-metrics.ts'
import { drain, trackConnections } from './lib/drain.ts'
import { EXIT_UNAVAILABLE, StartupError } from './lib/exit-codes.ts'
import { isMain } from './lib/is-main.ts'
import { isEnding, type Lifecycle } from './lib/lifecycle.ts'
import { packageVersion } from './lib/package.ts'
import { type Running, runProcess, type Surroundings } from './process.ts'
import { connectRedis } from './redis/connect.ts'
import { startWork, type Work } from './work.ts'

/** The argument by which the supervisor marks a process that replaces one which still serves. */
export const SUCCESSOR = '--successor'

/** What a process says to its supervisor when it serves. */
export const READY = 'ready'

/** What closing the database may take, of the time in which the process has to be gone. */
const CLOSE_MS = 2_000

/** Long enough for a request that left the client before it could know, short enough for a person who waits. */
const IDLE_CONNECTION_MS = 500

/** The web process. It listens before it migrates, so that probes get an answer meanwhile. */
export async function startServer({ config, logger }: Surroundings): Promise<Running> {
  const lifecycle: Lifecycle = { phase: 'starting' }
  const database = await connect(config)
  const redis = connectRedis(config)
  const app = await buildApp(config, { database, redis, logger, lifecycle })
  const connections = trackConnections(app.server)
  giveMetrics(app.metrics)
  // A successor shares its port with processes that serve: it takes no connection before it can answer it.
  const isSuccessor = process.argv.includes(SUCCESSOR)
  if (isSuccessor) await prepareSchema()
  const address = await listen(() => app.listen({ host: config.HOST, port: config.PORT }), config)

  const prepared = isSuccessor ? Promise.resolve() : prepareSchema()
  let work: Work | undefined
  prepared.then(serve, error => {
    // Its database was closed under it.
    if (isEnding(lifecycle.phase)) return
    logger.fatal({ err: error }, 'could not migrate')
    process.exit(1)
  })

  return {
    async stop(why) {
      lifecycle.phase = why === 'replaced' ? 'replaced' : 'draining'
      const graceMs = Math.max(config.SHUTDOWN_GRACE_SECONDS * 1000 - CLOSE_MS, 0)
      const [cut] = await Promise.all([
        drain(app.server, connections, {
          delayMs: why !== 'told' ? 0 : config.SHUTDOWN_DELAY_SECONDS * 1000,
          idleMs: why === 'impatient' ? 0 : IDLE_CONNECTION_MS,
          graceMs,
        }),
        work?.stop(why === 'impatient' ? 0 : graceMs),
      ])
      if (cut > 0) logger.warn({ cut }, 'the time to stop ran out: connections were cut')
      await app.close()
      redis?.disconnect()
      await database.close()
    },
  }

  async function prepareSchema() {
    if (config.MIGRATE_ON_START) {
      lifecycle.phase = 'migrating'
      const { prepareWhenReachable } = await import('./prepare.ts')
      await prepareWhenReachable(database, logger)
    }
    // A signal may have come first.
    if (!isEnding(lifecycle.phase)) lifecycle.phase = 'serving'
  }

  function serve() {
    if (isEnding(lifecycle.phase)) return
    if (config.WORKER) work = startWork(config, database, logger)
    const { port } = app.server.address() as AddressInfo
    logger.info({ address, port, version: packageVersion, database: database.kind }, 'ready')
    process.send?.(READY)
    // In a cluster, the first process speaks for all.
    if (!cluster.isWorker || cluster.worker?.id === 1)
      banner(process.stdout, address, dataPlace(database, config))
  }
}

async function listen(start: () => Promise<string>, { PORT }: Config): Promise<string> {
  try {
    return await start()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new StartupError(
      `Port ${PORT} is in use; stop what uses it, or set PORT to another.`,
      EXIT_UNAVAILABLE,
    )
  }
}

const dataPlace = ({ kind }: Database, { DATA_DIR }: Config) =>
  kind === 'embedded' ? `${resolve(DATA_DIR)} (embedded Postgres)` : 'Postgres, by DATABASE_URL'

if (isMain(import.meta.url)) await runProcess(startServer)
