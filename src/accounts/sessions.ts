import { and, eq, isNull, ne, sql } from 'drizzle-orm'
import { allRows, firstRow } from '../db/rows.ts'
import { inOneStatement, inTransaction } from '../db/transaction.ts'
import type { Db, Tx } from '../db/types.ts'
import { record } from '../events/record.ts'
import type { Actor, Origin } from '../lib/actor.ts'
import { newId } from '../lib/id.ts'
import { sha256 } from '../lib/opaque.ts'
import { Unauthenticated } from '../lib/problems.ts'
import type { Accounts } from './accounts.ts'
import { noteDevice } from './devices.ts'
import { sessionCreated, sessionReuseDetected, sessionRevoked } from './events.ts'
import { InvalidCredentials, RefreshTokenReused } from './problems.ts'
import type { RefreshToken } from './refresh-tokens.ts'
import { type User, userColumns } from './schemas.ts'
import { sessions, users } from './tables.ts'

/** A session with the tokens that it hands out; the access token is made where the answer is. */
export interface OpenSession {
  user: Pick<User, 'id' | 'role'>
  session_id: string
  refresh_token: string
}

/** One that has just begun. */
export interface NewSession extends OpenSession {
  user: User
}

export interface SigningIn {
  id: string
  /** As it was when the password was checked. */
  password_changed_at?: Date
}

/** What users are told of their sessions. */
export const sessionColumns = {
  id: sessions.id,
  ip: sessions.ip,
  user_agent: sessions.user_agent,
  created_at: sessions.created_at,
  last_used_at: sessions.last_used_at,
  expires_at: sessions.expires_at,
}

/** How somebody has shown who they are. */
export type Method = 'registration' | 'password' | 'totp' | 'recovery_code'

/** How a session came to its end. */
export type Ending = 'logout' | 'user' | 'administrator' | 'limit'

/** More than anybody has devices; a program that signs in each time and never out must not fill the table. */
export const MAX_SESSIONS = 100

/** How long after a refresh the token before is still taken for a lost answer or a second tab. */
const OVERLAP_SECONDS = 30

/** Opens a session, and tells the user when it is from a device that was not seen before. */
export async function openSession(
  tx: Tx,
  accounts: Accounts,
  actor: Actor,
  { id: user_id, password_changed_at }: SigningIn,
  method: Method,
): Promise<NewSession> {
  const { refreshTokens, config } = accounts
  const user = await noteLogin(tx, user_id, password_changed_at, method)
  const token = { session_id: newId(), secret: refreshTokens.newSecret(), generation: 1 }
  await tx.insert(sessions).values({
    id: token.session_id,
    user_id,
    secret_hash: sha256(token.secret),
    expires_at: inSeconds(config.JWT_REFRESH_TOKEN_EXPIRES),
    ip: actor.origin.ip,
    user_agent: actor.origin.user_agent,
  })
  await record(tx, asUser(actor, user_id), sessionCreated, {
    subject_id: token.session_id,
    owner_id: user_id,
    after: { method },
  })
  await endExcess(tx, accounts, actor, user_id, token.session_id)
  await noteDevice(tx, accounts, actor, user)
  return { user, session_id: token.session_id, refresh_token: refreshTokens.make(token) }
}

/** Not if the account has been closed, its password changed, or a code come to be wanted, since the caller was checked. */
async function noteLogin(
  tx: Tx,
  id: string,
  password_changed_at: Date | undefined,
  method: Method,
): Promise<User> {
  const unchanged = and(
    password_changed_at && eq(users.password_changed_at, password_changed_at),
    method === 'password' ? eq(users.mfa_enabled, false) : undefined,
  )
  const [user] = await tx
    .update(users)
    .set({ last_login_at: sql`now()` })
    .where(and(eq(users.id, id), eq(users.is_active, true), isNull(users.deleted_at), unchanged))
    .returning(userColumns)
  if (user === undefined) throw new InvalidCredentials('The account was changed a moment ago; sign in again.')
  return user
}

/** Signing in makes a user of whoever asked. */
export const asUser = ({ origin }: Actor, id: string): Actor => ({ type: 'user', id, origin })

const inSeconds = (seconds: number) => sql`now() + ${seconds} * interval '1 s'`

/**
 * Ends what goes beyond the limit, what was unused for longest first. The sign-ins of one user come here one by one,
 * because each has changed the user's row. What somebody else is about to end or refresh is passed over: to wait for it
 * could be to wait in a circle.
 */
async function endExcess(
  tx: Tx,
  { principals }: Accounts,
  actor: Actor,
  user_id: string,
  newest: string,
): Promise<void> {
  const ended = await allRows<{ id: string }>(
    tx,
    sql`
      delete from sessions where id in (
        select id from sessions where id in (
          select id from sessions where user_id = ${user_id} and id <> ${newest} and expires_at > now()
          order by last_used_at desc, id desc offset ${MAX_SESSIONS - 1}
        ) for update skip locked
      ) returning id`,
  )
  for (const { id: subject_id } of ended) {
    const facts = { subject_id, owner_id: user_id, after: { how: 'limit' satisfies Ending } }
    await record(tx, asUser(actor, user_id), sessionRevoked, facts)
  }
  if (ended.length > 0) await principals.forget(tx, user_id)
}

/** A new pair of tokens for one refresh token. */
export async function refreshSession(accounts: Accounts, actor: Actor, text: string): Promise<OpenSession> {
  const { refreshTokens, database, config } = accounts
  const token = refreshTokens.read(text)
  if (token === undefined) throw notGood()
  const refreshed = await rotate(database.db, token, config.JWT_REFRESH_TOKEN_EXPIRES, actor.origin)
  if (refreshed === undefined) throw await whyNotGood(accounts, actor, token)
  const { session_id, secret } = token
  const { generation, ...user } = refreshed
  return { user, session_id, refresh_token: refreshTokens.make({ session_id, secret, generation }) }
}

const notGood = () => new Unauthenticated('The refresh token is not, or no longer, good.')

/**
 * One statement, so that of any number of refreshes with one token the first moves the session on, and the others,
 * which wait for its row, find it moved on just now: they all come to the same generation, and so to the same token.
 */
function rotate(
  db: Db,
  { session_id, secret, generation }: RefreshToken,
  seconds: number,
  { ip, user_agent }: Origin,
) {
  const statement = sql`
    update sessions s set
      generation = ${generation}::int + 1,
      rotated_at = case when s.generation = ${generation} then now() else s.rotated_at end,
      last_used_at = now(), expires_at = now() + ${seconds} * interval '1 s',
      ip = ${ip}, user_agent = ${user_agent}
    from users u
    where s.id = ${session_id} and s.secret_hash = ${sha256(secret)} and s.expires_at > now()
      and (s.generation = ${generation}
        or (s.generation = ${generation}::int + 1 and s.rotated_at > now() - ${OVERLAP_SECONDS} * interval '1 s'))
      and u.id = s.user_id and u.is_active and u.deleted_at is null
    returning s.generation, u.id, u.role`
  return inOneStatement(db, inner => firstRow<OpenSession['user'] & { generation: number }>(inner, statement))
}

/** A token of ours that has been replaced is in two hands, and nobody knows which are the thief's: the session ends. */
async function whyNotGood(
  accounts: Accounts,
  actor: Actor,
  { session_id, secret, generation }: RefreshToken,
) {
  const ended = await inTransaction(accounts.database.db, async tx => {
    const row = await firstRow<{ user_id: string }>(
      tx,
      sql`
        delete from sessions
        where id = ${session_id} and secret_hash = ${sha256(secret)} and generation > ${generation}
        returning user_id`,
    )
    if (row === undefined) return false
    await accounts.principals.forget(tx, row.user_id)
    await record(tx, actor, sessionReuseDetected, {
      subject_id: session_id,
      owner_id: row.user_id,
      after: {},
    })
    return true
  })
  return ended
    ? new RefreshTokenReused('The refresh token was used before; the session has been ended.')
    : notGood()
}

/** Signing out: by the session itself, or by a refresh token of it that is still good. */
export async function endSession(
  accounts: Accounts,
  actor: Actor,
  session: { id: string; session_id: string | null } | RefreshToken | undefined,
): Promise<void> {
  const found = await inTransaction(accounts.database.db, async tx => {
    const user_id = session && ('secret' in session ? await ownerOf(tx, session) : session.id)
    if (user_id === undefined || !session?.session_id) return false
    const which = { user_id, only: session.session_id, how: 'logout' } as const
    return (await endSessions(tx, accounts, asUser(actor, user_id), which)) > 0
  })
  if (!found) throw new Unauthenticated('There is no session to end.')
}

async function ownerOf(tx: Tx, { session_id, secret }: RefreshToken): Promise<string | undefined> {
  const [row] = await tx
    .select({ user_id: sessions.user_id })
    .from(sessions)
    .where(and(eq(sessions.id, session_id), eq(sessions.secret_hash, sha256(secret))))
  return row?.user_id
}

/** For what outlives a session: once the user is locked, it throws if the session has ended meanwhile. */
export async function demandSession(tx: Tx, id: string): Promise<void> {
  const [session] = await tx.select({ id: sessions.id }).from(sessions).where(eq(sessions.id, id))
  if (session === undefined) throw new Unauthenticated('The session is over.')
}

/** Ends one session of a user, or all but one. Returns how many there were. */
export async function endSessions(
  tx: Tx,
  { principals }: Accounts,
  actor: Actor,
  { user_id, only, except, how }: { user_id: string; only?: string; except?: string; how: Ending },
): Promise<number> {
  const ended = await deleteSessions(tx, { user_id, ...(only && { only }), ...(except && { except }) })
  for (const subject_id of ended) {
    await record(tx, actor, sessionRevoked, { subject_id, owner_id: user_id, after: { how } })
  }
  if (ended.length > 0) await principals.forget(tx, user_id)
  return ended.length
}

/** Without an event of their own: the change that ends them has one. It calls `forget`, too. */
export async function deleteSessions(
  tx: Tx,
  { user_id, only, except }: { user_id: string; only?: string; except?: string },
): Promise<string[]> {
  const ended = await tx
    .delete(sessions)
    .where(
      and(
        eq(sessions.user_id, user_id),
        only === undefined ? undefined : eq(sessions.id, only),
        except === undefined ? undefined : ne(sessions.id, except),
      ),
    )
    .returning({ id: sessions.id })
  return ended.map(({ id }) => id)
}
