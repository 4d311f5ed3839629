import type { PGlite } from '@electric-sql/pglite'
import type { Sql, TransactionSql } from 'postgres'
import type { Db } from './types.ts'

type Row = Record<string, unknown>

/**
 * SQL text of a library of ours, with numbered parameters, or as a script of several statements when there are none.
 * Drizzle has no way to run either, so this goes to the driver below it.
 */
export async function executeText(db: Db, text: string, values: unknown[] = []): Promise<{ rows: Row[] }> {
  const { client } = (db as unknown as { _: { session: { client: Sql | TransactionSql | PGlite } } })._
    .session
  const parameters = values.map(toParameter)
  if ('unsafe' in client) {
    if (values.length > 0) return { rows: await client.unsafe(text, parameters as never[]) }
    return { rows: 'reserve' in client ? await runScript(client, text) : await client.unsafe(text) }
  }
  if (values.length > 0) return client.query<Row>(text, parameters)
  return { rows: (await client.exec(text)).at(-1)?.rows ?? [] }
}

/** On a connection of its own: a script may begin and end a transaction, which postgres.js refuses on a pool. */
async function runScript(client: Sql, text: string): Promise<Row[]> {
  const connection = await client.reserve()
  try {
    return await connection.unsafe(text)
  } finally {
    connection.release()
  }
}

/** Drizzle switches off the drivers' own conversion of dates and objects. */
function toParameter(value: unknown): unknown {
  if (value === undefined) return null
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return JSON.stringify(value)
  return value
}
