import { and, eq } from 'drizzle-orm'
import { isAfter, sortedBy } from '../../db/paging.ts'
import type { Db } from '../../db/types.ts'
import type { SortKey } from '../../lib/paging.ts'
import { posts } from './tables.ts'

const newestFirst = { column: posts.created_at, id: posts.id, direction: 'desc' } as const

/** All of an author's, the deleted ones too, newest first. */
export const selectPosts = (db: Db, author_id: string, after: SortKey | undefined, limit: number) =>
  db
    .select()
    .from(posts)
    .where(and(eq(posts.author_id, author_id), isAfter(newestFirst, after)))
    .orderBy(...sortedBy(newestFirst))
    .limit(limit)
