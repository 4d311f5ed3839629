import type { SQL } from 'drizzle-orm'
import type { Db } from './types.ts'

/** The rows of plain SQL: postgres.js answers with an array of them, PGlite with an object that holds it. */
export async function allRows<T>(db: Db, query: SQL): Promise<T[]> {
  const result = (await db.execute(query)) as T[] | { rows: T[] }
  return Array.isArray(result) ? result : result.rows
}

export async function firstRow<T>(db: Db, query: SQL): Promise<T | undefined> {
  return (await allRows<T>(db, query))[0]
}
