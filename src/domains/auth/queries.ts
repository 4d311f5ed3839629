import { and, desc, eq, gt, sql } from 'drizzle-orm'
import { sessionColumns } from '../../accounts/sessions.ts'
import { sessions } from '../../accounts/tables.ts'
import type { Db } from '../../db/types.ts'

export const listSessions = (db: Db, user_id: string, current: string) =>
  db
    .select({ ...sessionColumns, current: sql<boolean>`${sessions.id} = ${current}` })
    .from(sessions)
    .where(and(eq(sessions.user_id, user_id), gt(sessions.expires_at, sql`now()`)))
    .orderBy(desc(sessions.id))
