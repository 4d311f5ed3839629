import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Accounts } from '../../accounts/accounts.ts'
import { userEmailChanged, userEmailVerified, userPasswordChanged } from '../../accounts/events.ts'
import { sendResetLink } from '../../accounts/jobs.ts'
import { dropLinks, useLink } from '../../accounts/links.ts'
import { unlock } from '../../accounts/lockout.ts'
import { circumstances } from '../../accounts/notices.ts'
import { InvalidLink } from '../../accounts/problems.ts'
import { type User, userColumns } from '../../accounts/schemas.ts'
import { asUser, deleteSessions } from '../../accounts/sessions.ts'
import { users } from '../../accounts/tables.ts'
import {
  askToVerify,
  canonicalEmail,
  demandGoodPassword,
  findUser,
  nextVersion,
} from '../../accounts/users.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Tx } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import { enqueue } from '../../jobs/enqueue.ts'
import type { Actor } from '../../lib/actor.ts'
import { emailChangedMail } from '../../mail/templates/email-changed.ts'
import { passwordChangedMail } from '../../mail/templates/password-changed.ts'

/** Whoever holds the link reads the mail of that address: it is theirs, be it the account's or the one to come. */
export async function verifyEmail(accounts: Accounts, actor: Actor, token: string): Promise<void> {
  await inTransaction(accounts.database.db, async tx => {
    const { user_id, purpose, email } = await useLink(tx, token, ['verify_email', 'change_email'])
    const before = await findActive(tx, user_id)
    if (purpose === 'verify_email') {
      // It was sent to another address, or did its work already.
      if (before.email !== email) throw new InvalidLink('The e-mail has been changed since.')
      if (before.email_verified) return
    }
    const after = await setEmail(tx, user_id, email)
    await accounts.principals.forget(tx, user_id)
    const type = purpose === 'verify_email' ? userEmailVerified : userEmailChanged
    await record(tx, asUser(actor, user_id), type, { subject_id: user_id, owner_id: user_id, before, after })
    if (purpose === 'change_email') await tellOldAddress(tx, accounts, actor, before, email)
  })
}

async function findActive(tx: Tx, id: string): Promise<User> {
  const [user] = await tx
    .select(userColumns)
    .from(users)
    .where(and(eq(users.id, id), eq(users.is_active, true), isNull(users.deleted_at)))
    .for('no key update')
  if (user === undefined) throw new InvalidLink('The account has been closed.')
  return user
}

async function setEmail(tx: Tx, id: string, email: string): Promise<User> {
  const [after] = await tx
    .update(users)
    .set({ email, email_verified: true, ...nextVersion })
    .where(eq(users.id, id))
    .returning(userColumns)
  return after as User
}

async function tellOldAddress(
  tx: Tx,
  { mailer }: Accounts,
  actor: Actor,
  { email: to, first_name }: User,
  new_email: string,
) {
  if (!mailer.available) return
  await mailer.send(tx, actor, emailChangedMail, {
    to,
    data: { first_name, new_email, ...circumstances(actor) },
  })
}

export async function resendVerification(accounts: Accounts, actor: Actor, user_id: string): Promise<void> {
  await inTransaction(accounts.database.db, async tx =>
    askToVerify(tx, accounts, actor, await findUser(tx, user_id)),
  )
}

/** The same work whether or not there is such an account: a job looks, after the answer. */
export async function forgotPassword(accounts: Accounts, actor: Actor, email: string): Promise<void> {
  const { vault, database } = accounts
  const sealed = vault.seal(JSON.stringify({ reset: canonicalEmail(email) }))
  await inTransaction(database.db, tx => enqueue(tx, actor, sendResetLink, { sealed }))
}

/** A new password by a link: it ends every session, unlocks the account, and uses up its other links. */
export async function resetPassword(
  accounts: Accounts,
  actor: Actor,
  { token, password, password_confirm }: { token: string; password: string; password_confirm?: string },
): Promise<void> {
  const { passwords, principals, database, mailer } = accounts
  await demandGoodPassword(accounts, password, password_confirm)
  const password_hash = await passwords.hash(password)
  await inTransaction(database.db, async tx => {
    const { user_id } = await useLink(tx, token, ['reset_password'])
    const user = await findActive(tx, user_id)
    await tx
      .update(users)
      .set({ password_hash, password_changed_at: sql`now()`, ...nextVersion })
      .where(eq(users.id, user_id))
    await dropLinks(tx, user_id)
    await deleteSessions(tx, { user_id })
    await unlock(tx, user.email)
    await principals.forget(tx, user_id)
    await record(tx, asUser(actor, user_id), userPasswordChanged, {
      subject_id: user_id,
      owner_id: user_id,
      after: { how: 'reset' },
    })
    if (!mailer.available) return
    const data = { first_name: user.first_name, how: 'reset' as const, ...circumstances(actor) }
    await mailer.send(tx, actor, passwordChangedMail, { to: user.email, data })
  })
}
