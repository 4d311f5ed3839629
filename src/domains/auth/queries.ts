import { and, desc, eq, gt, lt, sql } from 'drizzle-orm'
import { sessionColumns } from '../../accounts/sessions.ts'
import { sessions } from '../../accounts/tables.ts'
import type { Db } from '../../db/types.ts'
import type { SignedInUser } from '../../lib/access.ts'

/** Newest first. */
export const listSessions = (
  db: Db,
  { id: user_id, session_id: current }: SignedInUser,
  { before, limit }: { before?: string | undefined; limit: number },
) =>
  db
    .select({ ...sessionColumns, current: sql<boolean>`${sessions.id} = ${current}` })
    .from(sessions)
    .where(
      and(
        eq(sessions.user_id, user_id),
        gt(sessions.expires_at, sql`now()`),
        before === undefined ? undefined : lt(sessions.id, before),
      ),
    )
    .orderBy(desc(sessions.id))
    .limit(limit)
