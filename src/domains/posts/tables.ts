import { foreignKey, index, integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { users } from '../../accounts/tables.ts'
import { idColumn, momentColumn, timestampColumns } from '../../db/columns.ts'

export const posts = pgTable(
  'posts',
  {
    id: idColumn(),
    author_id: uuid().notNull(),
    title: text().notNull(),
    content: text().notNull(),
    version: integer().notNull().default(1),
    ...timestampColumns(),
    deleted_at: momentColumn(),
  },
  table => [
    foreignKey({
      name: 'posts_author_id_fkey',
      columns: [table.author_id],
      foreignColumns: [users.id],
    }).onDelete('cascade'),
    // Of deleted ones too, or a user could not be removed without reading the whole table.
    index('posts_by_author').on(table.author_id, table.created_at, table.id),
  ],
)
