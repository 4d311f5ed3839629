import { sql } from 'drizzle-orm'
import { bigint, foreignKey, index, integer, pgTable, smallint, text, uuid } from 'drizzle-orm/pg-core'
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
    index('posts_sorted_by_created_at')
      .on(table.created_at, table.id)
      .where(sql`${table.deleted_at} is null`),
    index('posts_by_content')
      .using('gin', table.title.op('gin_trgm_ops'), table.content.op('gin_trgm_ops'))
      .with({ gin_pending_list_limit: 512 })
      .where(sql`${table.deleted_at} is null`),
    index('posts_deleted').on(table.deleted_at).where(sql`${table.deleted_at} is not null`),
  ],
)

/** How many posts there are that are not deleted: the sum of these, counted by triggers as `item_counts` is. */
export const postCounts = pgTable('post_counts', {
  slot: smallint().primaryKey(),
  posts: bigint({ mode: 'number' }).notNull().default(0),
})
