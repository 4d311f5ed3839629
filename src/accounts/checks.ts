import { and, eq, isNull } from 'drizzle-orm'
import { inTransaction } from '../db/transaction.ts'
import type { Db, Tx } from '../db/types.ts'
import { record } from '../events/record.ts'
import type { Actor } from '../lib/actor.ts'
import { accountLockedMail } from '../mail/templates/account-locked.ts'
import type { Accounts } from './accounts.ts'
import { accountLocked, loginFailed } from './events.ts'
import { countFailure, FAILURES, passLock, refuseLocked, throwLocked } from './lockout.ts'
import { circumstances } from './notices.ts'
import { InvalidCredentials } from './problems.ts'
import type { User } from './schemas.ts'
import { users } from './tables.ts'

/** That a user has shown to know the password, of which this is the hash. */
export interface Confirmation {
  user_id: string
  password_hash: string
}

/** Asks a user who is signed in for the password again: whoever finds an open screen does not know it. */
export async function demandPassword(
  accounts: Accounts,
  actor: Actor,
  user_id: string,
  password: string,
): Promise<Confirmation> {
  const { db } = accounts.database
  const { holder, right } = await accounts.passwords.verify(async () => {
    const user = await findHolder(db, user_id)
    if (user !== undefined) await refuseLocked(db, user.email)
    return user
  }, password)
  if (holder === undefined) throw notRight()
  if (!right) {
    await noteFailure(accounts, actor, holder.email, holder, 'wrong_password')
    throw notRight()
  }
  await inTransaction(db, tx => passLock(tx, holder.email))
  return { user_id, password_hash: holder.password_hash }
}

const notRight = () => new InvalidCredentials('The password is not right.')

async function findHolder(db: Db, id: string) {
  const [user] = await db
    .select({
      id: users.id,
      email: users.email,
      first_name: users.first_name,
      password_hash: users.password_hash,
    })
    .from(users)
    .where(and(eq(users.id, id), isNull(users.deleted_at)))
  return user
}

/** Throws if the password was changed or reset, or the account closed, since. To be called once the user is locked. */
export async function demandStillConfirmed(tx: Tx, { user_id, password_hash }: Confirmation): Promise<void> {
  const [user] = await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.id, user_id), eq(users.password_hash, password_hash), isNull(users.deleted_at)))
  if (user === undefined) throw new InvalidCredentials('The account was changed a moment ago.')
}

/** Records that a password was wrong, and locks after too many; the answer to it is the caller's to give. */
export async function noteFailure(
  accounts: Accounts,
  actor: Actor,
  email: string,
  user: Failing | undefined,
  reason: 'unknown_email' | 'wrong_password',
): Promise<void> {
  const seconds = await inTransaction(accounts.database.db, tx =>
    recordFailure(tx, accounts, actor, email, user, reason),
  )
  throwLocked(seconds)
}

type Failing = Pick<User, 'id' | 'first_name'>

/** Returns the seconds that are left of a lock that was there before. */
export async function recordFailure(
  tx: Tx,
  { mailer }: Accounts,
  actor: Actor,
  email: string,
  user: Failing | undefined,
  reason: 'unknown_email' | 'wrong_password' | 'wrong_code',
): Promise<number | null> {
  const about = { subject_id: user?.id ?? null, owner_id: user?.id ?? null }
  const { locked_until, seconds } = await countFailure(tx, email)
  await record(tx, actor, loginFailed, { ...about, after: { reason } })
  if (locked_until === null) return seconds
  const after = { locked_until, failures: FAILURES }
  await record(tx, actor, accountLocked, { ...about, after })
  if (user !== undefined) {
    const data = { first_name: user.first_name, ...circumstances(actor) }
    const lock = { locked_until: locked_until.toISOString(), failures: FAILURES }
    await mailer.notify(tx, actor, accountLockedMail, { to: email, data: { ...data, ...lock } })
  }
  return null
}
