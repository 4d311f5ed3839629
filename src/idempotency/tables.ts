import { index, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { bytesColumn, createdAtColumn, momentColumn } from '../db/columns.ts'

/** What was answered under an `Idempotency-Key`, or who is about to. */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    /** A hash of caller and key, so that neither is stored. */
    id: bytesColumn().primaryKey(),
    /** A hash of method, URL and body: the same key is good for the same request only. */
    fingerprint: bytesColumn().notNull(),
    /** Who runs the request, drawn at random. Whoever lost the key to another one cannot commit any more. */
    holder: uuid().notNull(),
    /** Until when the holder is believed to be alive. */
    held_until: momentColumn().notNull(),
    /** Status, headers and body, sealed; null while the request runs. */
    answer: text(),
    created_at: createdAtColumn(),
    expires_at: momentColumn().notNull(),
  },
  table => [index('idempotency_keys_by_expiry').on(table.expires_at)],
)
