import { and, eq } from 'drizzle-orm'
import { isAfter, sortedBy } from '../../db/paging.ts'
import type { Db } from '../../db/types.ts'
import type { SortKey } from '../../lib/paging.ts'
import { items } from './tables.ts'

const newestFirst = { column: items.created_at, id: items.id, direction: 'desc' } as const

/** All of a user's, the deleted ones too, newest first. */
export const selectItems = (db: Db, user_id: string, after: SortKey | undefined, limit: number) =>
  db
    .select()
    .from(items)
    .where(and(eq(items.user_id, user_id), isAfter(newestFirst, after)))
    .orderBy(...sortedBy(newestFirst))
    .limit(limit)
