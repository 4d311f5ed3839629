import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import type { Config } from '../config.ts'
import type { Load } from '../lib/expected-wait.ts'
import { followServer } from './announcements.ts'
import { watchedSockets } from './socket-watch.ts'
import type { Database, Db, Following } from './types.ts'

/** Seconds. Long enough for a busy server, short enough that readiness and requests learn quickly that it is gone. */
const CONNECT_TIMEOUT = 3

/** Seconds before a lost connection is tried again. postgres.js would wait up to 20 and keep requests waiting with it. */
const RECONNECT_DELAY = 0.02

/** A connection that is silent for this much longer than a statement may take is a dead one. */
const ANSWER_MARGIN_MS = 2_000

/** Any constant will do, as long as every release uses the same: "plinth" in ASCII. */
const MIGRATION_LOCK = 0x706c696e7468n

type Timeouts = Pick<
  Config,
  | 'DATABASE_POOL_SIZE'
  | 'DATABASE_STATEMENT_TIMEOUT_MS'
  | 'DATABASE_LOCK_TIMEOUT_MS'
  | 'DATABASE_IDLE_TRANSACTION_TIMEOUT_MS'
>

/** Our patch of postgres.js counts what waits. */
type PatchedPool = { load: () => Load }

/** Connects when first asked, so it succeeds while the server is still away. */
export function connectPostgres(url: string, config: Timeouts): Database {
  const sockets = watchedSockets(config.DATABASE_STATEMENT_TIMEOUT_MS + ANSWER_MARGIN_MS)
  const pool = postgres(url, {
    ...shared,
    max: config.DATABASE_POOL_SIZE,
    socket: sockets.open,
    connection: {
      application_name: 'plinth',
      // Compiling pays for reports, not for us: it made the verification of a million events 3.4 times slower.
      jit: 'off',
      statement_timeout: config.DATABASE_STATEMENT_TIMEOUT_MS,
      lock_timeout: config.DATABASE_LOCK_TIMEOUT_MS,
      idle_in_transaction_session_timeout: config.DATABASE_IDLE_TRANSACTION_TIMEOUT_MS,
    },
  } as postgres.Options<Record<string, never>>)
  const followings: Following[] = []

  return {
    kind: 'postgres',
    db: drizzle(pool) as unknown as Db,
    load: (pool as unknown as PatchedPool).load,
    exclusively: work => withMigrationLock(url, work),
    follow(channel, listener) {
      const following = followServer(options => postgres(url, { ...shared, ...options }), channel, listener)
      followings.push(following)
      return following
    },
    async close() {
      await Promise.all(followings.map(following => following.end()))
      await pool.end({ timeout: 2 })
      sockets.stop()
    },
  }
}

const shared = {
  connect_timeout: CONNECT_TIMEOUT,
  backoff: () => RECONNECT_DELAY,
  // Drizzle reads and writes arrays itself; asked for by postgres.js on each new connection, their types cost a round
  // trip, and a connection that is lost just then is a rejection that nobody handles.
  fetch_types: false,
  // Notices of "already exists, skipping" are not news.
  onnotice: () => {},
}

/**
 * A connection of its own, without time limits: a migration may build an index for an hour,
 * and the processes that start meanwhile wait here for it.
 */
async function withMigrationLock<T>(url: string, work: (db: Db) => Promise<T>): Promise<T> {
  const client = postgres(url, { ...shared, max: 1, connection: { application_name: 'plinth migrate' } })
  try {
    await client`select pg_advisory_lock(${MIGRATION_LOCK.toString()}::bigint)`
    // Closing the connection releases the lock, also when the process dies.
    return await work(drizzle(client) as unknown as Db)
  } finally {
    await client.end({ timeout: 2 })
  }
}
