import type { ExtractTablesWithRelations } from 'drizzle-orm'
import type { PgDatabase, PgQueryResultHKT, PgTransaction } from 'drizzle-orm/pg-core'

type Schema = Record<string, never>

/** The pool, or a transaction on it: what a query function takes. */
export type Db = PgDatabase<PgQueryResultHKT, Schema>

/** A transaction and nothing else: what a function takes whose work must be committed together with its caller's. */
export type Tx = PgTransaction<PgQueryResultHKT, Schema, ExtractTablesWithRelations<Schema>>

/** One connected database, embedded or on a server, behind the same face. */
export interface Database {
  readonly kind: 'postgres' | 'embedded'
  readonly db: Db
  /** Runs `work` while no other process can migrate. */
  exclusively<T>(work: (db: Db) => Promise<T>): Promise<T>
  close(): Promise<void>
}
