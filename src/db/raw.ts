import type { PGlite } from '@electric-sql/pglite'
import type { Sql, TransactionSql } from 'postgres'
import type { Db } from './types.ts'

// What Drizzle has no way to run goes to the driver below it.

export type Row = Record<string, unknown>
type Client = Sql | TransactionSql | PGlite

/**
 * SQL text of ours that is run so often that Postgres should parse and plan it once for each connection: a statement
 * that Drizzle builds is parsed and planned each time, and one that it prepares runs outside the transaction.
 */
export async function executePrepared(db: Db, text: string, values: unknown[]): Promise<Row[]> {
  const client = clientOf(db)
  const parameters = values.map(toParameter)
  if ('unsafe' in client) return client.unsafe(text, parameters as never[], { prepare: true })
  return (await client.query<Row>(text, parameters)).rows
}

/**
 * SQL text of a library, with numbered parameters, or as a script of several statements when there are none. A script
 * that begins a transaction needs the connection of `exclusively`: postgres.js refuses it on a pool.
 */
export async function executeText(db: Db, text: string, values: unknown[] = []): Promise<{ rows: Row[] }> {
  const client = clientOf(db)
  const parameters = values.map(toParameter)
  if ('unsafe' in client) return { rows: await client.unsafe(text, parameters as never[]) }
  if (values.length > 0) return client.query<Row>(text, parameters)
  return { rows: (await client.exec(text)).at(-1)?.rows ?? [] }
}

const clientOf = (db: Db) => (db as unknown as { _: { session: { client: Client } } })._.session.client

/** Drizzle switches off the drivers' own conversion of dates and objects. */
function toParameter(value: unknown): unknown {
  if (value === undefined) return null
  if (value instanceof Date) return value.toISOString()
  if (typeof value !== 'object' || value === null) return value
  return Array.isArray(value) || value instanceof Uint8Array ? value : JSON.stringify(value)
}
