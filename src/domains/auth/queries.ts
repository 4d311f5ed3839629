import { and, desc, eq, gt, sql } from 'drizzle-orm'
import { sessions } from '../../accounts/tables.ts'
import type { Db } from '../../db/types.ts'

export const listSessions = (db: Db, user_id: string, current: string) =>
  db
    .select({
      id: sessions.id,
      current: sql<boolean>`${sessions.id} = ${current}`,
      ip: sessions.ip,
      user_agent: sessions.user_agent,
      created_at: sessions.created_at,
      last_used_at: sessions.last_used_at,
      expires_at: sessions.expires_at,
    })
    .from(sessions)
    .where(and(eq(sessions.user_id, user_id), gt(sessions.expires_at, sql`now()`)))
    .orderBy(desc(sessions.id))
