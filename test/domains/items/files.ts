import { asc, eq, sql } from 'drizzle-orm'
import { newApiKey, shownPart } from '../../../src/accounts/api-key-format.ts'
import { apiKeys } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { items } from '../../../src/domains/items/tables.ts'
import type { Scope } from '../../../src/lib/access.ts'
import { sha256 } from '../../../src/lib/opaque.ts'
import { type AnItem, type Headers, path } from './calls.ts'

export const NDJSON = 'application/x-ndjson'
export const CSV = 'text/csv'
export const FORMATS = ['ndjson', 'csv'] as const
export type Format = (typeof FORMATS)[number]

const types = { ndjson: NDJSON, csv: CSV }

export interface Result {
  imported: number
  failed: number
  errors: { line: number; code: string; message: string }[]
}

export const importFile = (
  app: App,
  headers: Headers,
  format: Format,
  payload: string | Buffer,
  query = '',
) =>
  app.inject({
    method: 'POST',
    url: `${path}/import${query}`,
    headers: { 'content-type': types[format], ...headers },
    payload,
  })

export const ndjson = (lines: readonly unknown[]) => lines.map(line => `${JSON.stringify(line)}\n`).join('')

export const exportFile = (app: App, headers: Headers, query: string | Record<string, string> = '') =>
  app.inject({ url: `${path}/export?${new URLSearchParams(query)}`, headers })

/** The items of an export as lines of JSON. */
export const itemsIn = (text: string): AnItem[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line))

/** All that the table holds of a user, as it was made. */
export const rowsOf = ({ database: { db } }: App, user_id: string) =>
  db.select().from(items).where(eq(items.user_id, user_id)).orderBy(asc(items.id))

/** What of an item is its owner's to say. */
export const givenOf = <T extends Pick<AnItem, 'title' | 'description' | 'status' | 'price' | 'metadata'>>({
  title,
  description,
  status,
  price,
  metadata,
}: T) => ({ title, description, status, price, metadata })

export async function keyOf(app: App, user_id: string, scopes: Scope[]): Promise<Headers> {
  const key = newApiKey()
  const values = { user_id, name: 'x', prefix: shownPart(key), key_hash: sha256(key), scopes }
  await app.database.db.insert(apiKeys).values(values)
  return { 'x-api-key': key }
}

/** So many items without the cost of sending them; titles are numbered from 1, and each is a millisecond newer. */
export async function manyItems({ database: { db } }: App, user_id: string, count: number, filler = 0) {
  await db.execute(sql`
    insert into items (id, user_id, title, metadata, created_at)
    select gen_random_uuid(), ${user_id}, 'Item ' || n, jsonb_build_object('filler', repeat('x', ${filler}::int)),
      '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 ms'
    from generate_series(1, ${count}::int) as n`)
}
