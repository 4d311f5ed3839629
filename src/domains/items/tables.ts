import { sql } from 'drizzle-orm'
import { check, foreignKey, index, integer, jsonb, numeric, pgTable, text, uuid } from 'drizzle-orm/pg-core'
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
  table => [
    foreignKey({
      name: 'items_user_id_fkey',
      columns: [table.user_id],
      foreignColumns: [users.id],
    }).onDelete('cascade'),
    check('items_status_check', sql`${table.status} in ('draft', 'published', 'archived')`),
    // The type has the same upper bound, but knows NaN, which counts as more than any number.
    check('items_price_check', sql`${table.price} between 0 and 99999999.99`),
    // Of deleted ones too, or a user could not be removed without reading the whole table.
    index('items_by_user').on(table.user_id, table.created_at, table.id),
  ],
)
