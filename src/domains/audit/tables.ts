import { bigint, customType, integer, pgTable, uuid } from 'drizzle-orm/pg-core'
import { createdAtColumn, momentColumn } from '../../db/columns.ts'

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => 'bytea' })

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
  entries: bytes(),
  entries_hash: bytes().notNull(),
  previous_hash: bytes().notNull(),
  hash: bytes().notNull(),
  /** Events before this were dropped after their time. */
  expired_before: momentColumn(),
  created_at: createdAtColumn(),
})
