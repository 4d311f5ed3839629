import type { ExtractTablesWithRelations } from 'drizzle-orm'
import type { PgDatabase, PgQueryResultHKT, PgTransaction } from 'drizzle-orm/pg-core'
import type { Load } from '../lib/expected-wait.ts'

type Schema = Record<string, never>

/** The pool, or a transaction on it: what a query function takes. */
export type Db = PgDatabase<PgQueryResultHKT, Schema>

/** A transaction and nothing else: what a function takes whose work must be committed together with its caller's. */
export type Tx = PgTransaction<PgQueryResultHKT, Schema, ExtractTablesWithRelations<Schema>>

/** One connected database, embedded or on a server, behind the same face. */
export interface Database {
  readonly kind: 'postgres' | 'embedded'
  readonly db: Db
  /** Statements and transactions that wait for a connection, or behind another one, and how many have had their turn. */
  load(): Load
  /** Runs `work` while no other process can migrate. */
  exclusively<T>(work: (db: Db) => Promise<T>): Promise<T>
  /** Hears what transactions of all processes announce on a channel, from now until it is ended. */
  follow(channel: string, listener: Listener): Following
  /** Ends what still follows, too. */
  close(): Promise<void>
}

/** Neither may throw: nobody is there to catch it. */
export interface Listener {
  /** `text` was announced. */
  heard(text: string): void
  /** Announcements may have been missed: whatever was built on having heard them all is void. */
  missed(): void
}

export interface Following {
  /** Whether everything that was announced up to FRESH_MS ago has been heard. When not, nothing cached may be used. */
  isCurrent(): boolean
  end(): Promise<void>
}
