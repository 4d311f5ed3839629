import { bigint, integer, pgTable, uuid } from 'drizzle-orm/pg-core'
import { bytesColumn, createdAtColumn, momentColumn } from '../../db/columns.ts'

/**
 * Each seal covers the events after the one before, up to its own last position, and the seal before.
 * Triggers let nothing but its entries be given up, when the events are.
 */
export const auditSeals = pgTable('audit_seals', {
  number: integer().primaryKey(),
  event_count: integer().notNull(),
  last_transaction_id: bigint({ mode: 'bigint' }).notNull(),
  last_id: uuid().notNull(),
  oldest_id: uuid().notNull(),
  newest_id: uuid().notNull(),
  /** The id and the digest of each event, in order: 48 bytes each. Null when all of them have been dropped. */
  entries: bytesColumn(),
  entries_hash: bytesColumn().notNull(),
  previous_hash: bytesColumn().notNull(),
  hash: bytesColumn().notNull(),
  /** Events before this were dropped after their time. */
  expired_before: momentColumn(),
  created_at: createdAtColumn(),
})
