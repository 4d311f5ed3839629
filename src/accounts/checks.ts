import { and, eq, isNull } from 'drizzle-orm'
import { inTransaction } from '../db/transaction.ts'
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

/** Asks a user who is signed in for the password again: whoever finds an open screen does not know it. */
export async function demandPassword(
  accounts: Accounts,
  actor: Actor,
  user_id: string,
  password: string,
): Promise<void> {
  const { db } = accounts.database
  const [user] = await db
    .select({ id: users.id, email: users.email, first_name: users.first_name, hash: users.password_hash })
    .from(users)
    .where(and(eq(users.id, user_id), isNull(users.deleted_at)))
  if (user === undefined) throw new InvalidCredentials('The password is not right.')
  await refuseLocked(db, user.email)
  if (!(await accounts.passwords.verify(user.hash, password))) {
    await noteFailure(accounts, actor, user.email, user, 'wrong_password')
    throw new InvalidCredentials('The password is not right.')
  }
  await inTransaction(db, tx => passLock(tx, user.email))
}

/** Records that a password or a code was wrong, and locks after too many; the answer to it is the caller's to give. */
export async function noteFailure(
  accounts: Accounts,
  actor: Actor,
  email: string,
  user: Pick<User, 'id' | 'first_name'> | undefined,
  reason: 'unknown_email' | 'wrong_password' | 'wrong_code',
): Promise<void> {
  const { database, mailer } = accounts
  const about = { subject_id: user?.id ?? null, owner_id: user?.id ?? null }
  const seconds = await inTransaction(database.db, async tx => {
    const failure = await countFailure(tx, email)
    await record(tx, actor, loginFailed, { ...about, after: { reason } })
    if (failure.locked_until === null) return failure.seconds
    const after = { locked_until: failure.locked_until, failures: FAILURES }
    await record(tx, actor, accountLocked, { ...about, after })
    if (user !== undefined && mailer.available) {
      const locked_until = failure.locked_until.toISOString()
      const data = { first_name: user.first_name, locked_until, failures: FAILURES, ...circumstances(actor) }
      await mailer.send(tx, actor, accountLockedMail, { to: email, data })
    }
    return null
  })
  throwLocked(seconds)
}
