import { sql } from 'drizzle-orm'
import {
  bigint,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  numeric,
  pgTable,
  primaryKey,
  smallint,
  text,
  uuid,
} from 'drizzle-orm/pg-core'
import { users } from '../../accounts/tables.ts'
import { idColumn, momentColumn, timestampColumns } from '../../db/columns.ts'

export const items = pgTable(
  'items',
  {
    id: idColumn(),
    user_id: uuid().notNull(),
    title: text().notNull(),
    description: text(),
    status: text().$type<'draft' | 'published' | 'archived'>().notNull().default('draft'),
    price: numeric({ precision: 10, scale: 2 }).notNull().default('0.00'),
    metadata: jsonb().$type<Record<string, unknown>>().notNull().default({}),
    version: integer().notNull().default(1),
    ...timestampColumns(),
    deleted_at: momentColumn(),
  },
  table => {
    const isThere = sql`${table.deleted_at} is null`
    return [
      foreignKey({
        name: 'items_user_id_fkey',
        columns: [table.user_id],
        foreignColumns: [users.id],
      }).onDelete('cascade'),
      check('items_status_check', sql`${table.status} in ('draft', 'published', 'archived')`),
      // The type has the same upper bound, but knows NaN, which counts as more than any number.
      check('items_price_check', sql`${table.price} between 0 and 99999999.99`),
      // Of deleted ones too, or a user could not be removed without reading the whole table.
      index('items_by_user').on(table.user_id, table.id),
      // One for each column that lists are sorted by, so that any page is a few steps away in either direction.
      index('items_sorted_by_created_at').on(table.user_id, table.created_at, table.id).where(isThere),
      index('items_sorted_by_updated_at').on(table.user_id, table.updated_at, table.id).where(isThere),
      index('items_sorted_by_title').on(table.user_id, table.title, table.id).where(isThere),
      index('items_sorted_by_price').on(table.user_id, table.price, table.id).where(isThere),
      index('items_sorted_by_status').on(table.user_id, table.status, table.id).where(isThere),
      // The owner is in it, so that a word which others use a million times costs nothing to who uses it twice. Its notes
      // of new rows are short, because whoever fills them has to sort them in: of the 4 MB that are usual, with hostile
      // text, for longer than a statement may take.
      index('items_by_content')
        .using(
          'gin',
          table.user_id,
          table.title.op('gin_trgm_ops'),
          table.description.op('gin_trgm_ops'),
          table.metadata.op('jsonb_path_ops'),
        )
        .with({ gin_pending_list_limit: 512 })
        .where(isThere),
      index('items_deleted').on(table.deleted_at).where(sql`${table.deleted_at} is not null`),
    ]
  },
)

/**
 * How many items, which are not deleted, an owner has. Counted by triggers, because counting a million rows takes as long
 * as all the rest of a request some fifty times over. An owner's numbers are the sums of several rows, one for each
 * connection that writes, up to sixteen, and as many for imports: one row would have an owner's parallel writers wait for
 * each other's commits.
 */
export const itemCounts = pgTable(
  'item_counts',
  {
    user_id: uuid().notNull(),
    slot: smallint().notNull(),
    draft: bigint({ mode: 'number' }).notNull().default(0),
    published: bigint({ mode: 'number' }).notNull().default(0),
    archived: bigint({ mode: 'number' }).notNull().default(0),
  },
  table => [
    primaryKey({ name: 'item_counts_pkey', columns: [table.user_id, table.slot] }),
    foreignKey({
      name: 'item_counts_user_id_fkey',
      columns: [table.user_id],
      foreignColumns: [users.id],
    }).onDelete('cascade'),
  ],
)
