import { and, eq, isNull } from 'drizzle-orm'
import type { Accounts } from '../../accounts/accounts.ts'
import { noteFailure, recordFailure } from '../../accounts/checks.ts'
import { loginFailed } from '../../accounts/events.ts'
import { holdAttempts, passLock, refuseLocked, throwLocked } from '../../accounts/lockout.ts'
import { AccountDisabled, InvalidCredentials, MfaInvalid } from '../../accounts/problems.ts'
import { type NewSession, openSession } from '../../accounts/sessions.ts'
import { users } from '../../accounts/tables.ts'
import { canonicalEmail } from '../../accounts/users.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Db, Tx } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import type { Actor } from '../../lib/actor.ts'
import { useCode } from './codes.ts'

export interface PendingSignIn {
  mfa_required: true
  mfa_token: string
  methods: ('totp' | 'recovery_code')[]
}

/** How long somebody may look for the telephone. */
const PENDING_MS = 5 * 60_000

/** One answer for all that may be wrong, after the same work: it does not tell whether there is such an account. */
const wrong = () => new InvalidCredentials('Invalid email or password')

export async function signIn(
  accounts: Accounts,
  actor: Actor,
  { email: given, password, cookie = false }: { email: string; password: string; cookie?: boolean },
): Promise<NewSession | PendingSignIn> {
  const { database, passwords } = accounts
  const email = canonicalEmail(given)
  const { holder: user, right } = await passwords.verify(async () => {
    await refuseLocked(database.db, email)
    return findByEmail(database.db, email)
  }, password)
  if (!right || user === undefined) {
    const reason = user === undefined ? 'unknown_email' : 'wrong_password'
    await noteFailure(accounts, actor, email, user, reason)
    throw wrong()
  }
  // It may have been locked meanwhile; of many guesses at once, the right one must not be told from the others.
  await refuseLocked(database.db, email)
  if (!user.is_active) {
    await noteRefusal(database.db, actor, user.id)
    throw new AccountDisabled('The account has been deactivated.')
  }
  if (passwords.isOutdated(user.password_hash)) {
    await renewHash(database.db, user, await passwords.hash(password))
  }
  // The failures so far still count: knowing the password must not buy ten more codes.
  if (user.mfa_enabled) return pendingSignIn(accounts, user, cookie)
  return inTransaction(database.db, async tx => {
    await passLock(tx, email)
    return openSession(tx, accounts, actor, user, 'password')
  })
}

/** Not counted: the password was right. */
const noteRefusal = (db: Db, actor: Actor, id: string) =>
  inTransaction(db, tx =>
    record(tx, actor, loginFailed, { subject_id: id, owner_id: id, after: { reason: 'account_disabled' } }),
  )

type Found = NonNullable<Awaited<ReturnType<typeof findByEmail>>>

async function findByEmail(db: Db, email: string) {
  const [user] = await db
    .select(signingIn)
    .from(users)
    .where(and(eq(users.email, email), isNull(users.deleted_at)))
  return user
}

const signingIn = {
  id: users.id,
  email: users.email,
  first_name: users.first_name,
  password_hash: users.password_hash,
  password_changed_at: users.password_changed_at,
  is_active: users.is_active,
  mfa_enabled: users.mfa_enabled,
  totp_secret: users.totp_secret,
}

/** The same password, hashed as is configured now. */
const renewHash = (db: Db, { id, password_hash: old }: Found, password_hash: string) =>
  db
    .update(users)
    .set({ password_hash })
    .where(and(eq(users.id, id), eq(users.password_hash, old)))

/** Sealed, so that nothing has to be stored, and good only while the password is the same. */
function pendingSignIn(
  { vault }: Accounts,
  { id, password_changed_at }: Found,
  cookie: boolean,
): PendingSignIn {
  const pending: Pending = {
    user_id: id,
    password_changed_at: password_changed_at.toISOString(),
    expires_at: Date.now() + PENDING_MS,
    cookie,
  }
  const mfa_token = vault.seal(JSON.stringify({ mfa: pending }))
  return { mfa_required: true, mfa_token, methods: ['totp', 'recovery_code'] }
}

interface Pending {
  user_id: string
  password_changed_at: string
  expires_at: number
  /** Whether the login has asked for the refresh token in a cookie. */
  cookie: boolean
}

/** The second half of a sign-in: the code. Returns also what the first half has asked for. */
export async function completeSignIn(
  accounts: Accounts,
  actor: Actor,
  { mfa_token, code }: { mfa_token: string; code: string },
): Promise<{ opened: NewSession; cookie: boolean }> {
  const { database } = accounts
  const { user, cookie } = await findPending(accounts, mfa_token)
  const result = await inTransaction(database.db, tx => tryCode(tx, accounts, actor, user, code))
  if ('opened' in result) return { ...result, cookie }
  throwLocked(result.seconds)
  throw new MfaInvalid('The code is not right, or has been used.')
}

/** A failure is an outcome too, which has to be committed. */
async function tryCode(
  tx: Tx,
  accounts: Accounts,
  actor: Actor,
  user: Found,
  code: string,
): Promise<{ opened: NewSession } | { seconds: number | null }> {
  const seconds = await holdAttempts(tx, user.email)
  if (seconds !== null && seconds > 0) return { seconds }
  const method = await useCode(tx, accounts, user, code)
  if (method === undefined) {
    return { seconds: await recordFailure(tx, accounts, actor, user.email, user, 'wrong_code') }
  }
  await passLock(tx, user.email)
  return { opened: await openSession(tx, accounts, actor, user, method) }
}

async function findPending(
  { vault, database }: Accounts,
  mfa_token: string,
): Promise<{ user: Found; cookie: boolean }> {
  const pending = openPending(() => vault.open(mfa_token))
  if (pending === undefined || pending.expires_at < Date.now()) throw over()
  const [user] = await database.db.select(signingIn).from(users).where(eq(users.id, pending.user_id))
  if (user === undefined || !user.is_active || !user.mfa_enabled) throw over()
  if (user.password_changed_at.toISOString() !== pending.password_changed_at) throw over()
  return { user, cookie: pending.cookie }
}

const over = () => new MfaInvalid('The sign-in that this code belongs to is over; sign in again.')

/** Whose sign-in waits for a code, if it was we who said so. */
export const pendingUser = ({ vault }: Accounts, mfa_token: string): string | undefined =>
  openPending(() => vault.open(mfa_token))?.user_id

function openPending(open: () => string): Pending | undefined {
  try {
    // By this name, because other things are sealed with the same key.
    return (JSON.parse(open()) as { mfa?: Pending }).mfa
  } catch {
    return undefined
  }
}
