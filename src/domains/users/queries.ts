import { and, desc, eq, isNull, lt, or, type SQL } from 'drizzle-orm'
import { managedUserColumns, type User } from '../../accounts/schemas.ts'
import { sessionColumns } from '../../accounts/sessions.ts'
import { apiKeys, devices, oneTimeLinks, sessions, users } from '../../accounts/tables.ts'
import { isAfter, sortedBy, totalOf, withTotal } from '../../db/paging.ts'
import { contains } from '../../db/search.ts'
import type { Db } from '../../db/types.ts'
import type { Found } from '../../lib/paging.ts'
import type { sortedUsers, UserFilter } from './schemas.ts'

type UserSlice = ReturnType<typeof sortedUsers.slice>

export async function listUsers(db: Db, filter: UserFilter, slice: UserSlice): Promise<Found<User>> {
  const where = and(...conditionsOf(filter))
  const order = { column: users[slice.sort_by], id: users.id, direction: slice.sort_dir }
  const rows = await db
    .select({ ...managedUserColumns, total: totalOf(db, users, where, slice) })
    .from(users)
    .where(and(where, isAfter(order, slice.after)))
    .orderBy(...sortedBy(order))
    .limit(slice.limit)
    .offset(slice.offset)
  return withTotal(rows, slice, () => db.$count(users, where))
}

function conditionsOf({ search, role, active_only, include_deleted }: UserFilter): (SQL | undefined)[] {
  return [
    search ? or(contains(users.email, search), contains(users.full_name, search)) : undefined,
    role && eq(users.role, role),
    active_only ? eq(users.is_active, true) : undefined,
    include_deleted ? undefined : isNull(users.deleted_at),
  ]
}

/** For administrators, who see those that are deleted, too. */
export async function findManagedUser(db: Db, id: string): Promise<User | undefined> {
  const [user] = await db.select(managedUserColumns).from(users).where(eq(users.id, id))
  return user
}

export const countUsers = (db: Db, id: string): Promise<number> => db.$count(users, eq(users.id, id))

// What is held about a user, without the hashes of what they know or have.

export const selectProfile = (db: Db, user_id: string) =>
  db
    .select({ ...managedUserColumns, password_changed_at: users.password_changed_at })
    .from(users)
    .where(eq(users.id, user_id))

export const selectSessions = (db: Db, user_id: string, before: string | undefined, limit: number) =>
  db
    .select(sessionColumns)
    .from(sessions)
    .where(and(eq(sessions.user_id, user_id), before === undefined ? undefined : lt(sessions.id, before)))
    .orderBy(desc(sessions.id))
    .limit(limit)

export const selectApiKeys = (db: Db, user_id: string) =>
  db
    .select({
      id: apiKeys.id,
      name: apiKeys.name,
      prefix: apiKeys.prefix,
      scopes: apiKeys.scopes,
      expires_at: apiKeys.expires_at,
      last_used_at: apiKeys.last_used_at,
      created_at: apiKeys.created_at,
      updated_at: apiKeys.updated_at,
    })
    .from(apiKeys)
    .where(eq(apiKeys.user_id, user_id))
    .orderBy(desc(apiKeys.id))

export const selectDevices = (db: Db, user_id: string) =>
  db
    .select({ last_seen_at: devices.last_seen_at })
    .from(devices)
    .where(eq(devices.user_id, user_id))
    .orderBy(desc(devices.last_seen_at))

export const selectLinks = (db: Db, user_id: string) =>
  db
    .select({
      purpose: oneTimeLinks.purpose,
      email: oneTimeLinks.email,
      created_at: oneTimeLinks.created_at,
      expires_at: oneTimeLinks.expires_at,
    })
    .from(oneTimeLinks)
    .where(eq(oneTimeLinks.user_id, user_id))
