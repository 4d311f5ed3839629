import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Accounts } from '../../accounts/accounts.ts'
import { userEmailChanged, userEmailVerified, userPasswordChanged } from '../../accounts/events.ts'
import { sendResetLink } from '../../accounts/jobs.ts'
import { dropLinks, findLink, useLink, wasJustSent } from '../../accounts/links.ts'
import { unlock } from '../../accounts/lockout.ts'
import { circumstances, tellOfPassword } from '../../accounts/notices.ts'
import { InvalidLink } from '../../accounts/problems.ts'
import { type User, userColumns } from '../../accounts/schemas.ts'
import { asUser, deleteSessions } from '../../accounts/sessions.ts'
import { apiKeys, recoveryCodes, users } from '../../accounts/tables.ts'
import {
  askToVerify,
  canonicalEmail,
  demandGoodPassword,
  lockUser,
  nextVersion,
} from '../../accounts/users.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Tx } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import { enqueue } from '../../jobs/enqueue.ts'
import type { Actor } from '../../lib/actor.ts'
import { emailChangedMail } from '../../mail/templates/email-changed.ts'

/** Whoever holds the link reads the mail of that address: it is theirs, be it the account's or the one to come. */
export async function verifyEmail(accounts: Accounts, actor: Actor, token: string): Promise<void> {
  await inTransaction(accounts.database.db, async tx => {
    const { user_id, purpose, email } = await findLink(tx, token, ['verify_email', 'change_email'])
    const before = await lockActive(tx, user_id)
    await useLink(tx, token)
    if (purpose === 'verify_email') {
      // It was sent to another address, or did its work already.
      if (before.email !== email) throw new InvalidLink('The e-mail has been changed since.')
      if (before.email_verified) return
    }
    const after = await setEmail(tx, user_id, email)
    await accounts.principals.forget(tx, user_id)
    const type = purpose === 'verify_email' ? userEmailVerified : userEmailChanged
    await record(tx, asUser(actor, user_id), type, { subject_id: user_id, owner_id: user_id, before, after })
    if (purpose === 'verify_email') return
    // Others may lie in the mailbox of the old address.
    await dropLinks(tx, user_id)
    await tellOldAddress(tx, accounts, actor, before, email)
  })
}

async function lockActive(tx: Tx, id: string): Promise<User> {
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
  await mailer.notify(tx, actor, emailChangedMail, {
    to,
    data: { first_name, new_email, ...circumstances(actor) },
  })
}

export async function resendVerification(accounts: Accounts, actor: Actor, user_id: string): Promise<void> {
  await inTransaction(accounts.database.db, async tx => {
    const user = await lockUser(tx, user_id)
    if (!(await wasJustSent(tx, user_id, 'verify_email'))) await askToVerify(tx, accounts, actor, user)
  })
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
  const { passwords, principals, database } = accounts
  await demandGoodPassword(accounts, password, password_confirm)
  // Before the work of hashing, which is not for everybody to ask for.
  const { user_id, email } = await findLink(database.db, token, ['reset_password'])
  const password_hash = await passwords.hash(password)
  await inTransaction(database.db, async tx => {
    await unlock(tx, email)
    const before = await lockActive(tx, user_id)
    await useLink(tx, token)
    if (before.email !== email) throw new InvalidLink('The e-mail has been changed since.')
    const after = await setPassword(tx, before, password_hash)
    await dropLinks(tx, user_id)
    await deleteSessions(tx, { user_id })
    if (!before.email_verified) await dropForeignMeans(tx, user_id)
    await principals.forget(tx, user_id)
    await record(tx, asUser(actor, user_id), userPasswordChanged, {
      subject_id: user_id,
      owner_id: user_id,
      before: { ...before, how: null },
      after: { ...after, how: 'reset' },
    })
    await tellOfPassword(tx, accounts, actor, before, 'reset')
  })
}

/** Who follows the link reads the mail of the address, so that is verified, too. */
async function setPassword(tx: Tx, { id, email_verified }: User, password_hash: string): Promise<User> {
  const [after] = await tx
    .update(users)
    .set({
      password_hash,
      password_changed_at: sql`now()`,
      email_verified: true,
      ...(!email_verified && { mfa_enabled: false, totp_secret: null, totp_last_step: null }),
      ...nextVersion,
    })
    .where(eq(users.id, id))
    .returning(userColumns)
  return after as User
}

/** Until the address is verified, anybody may have registered it: what they set up must not outlast the owner's reset. */
async function dropForeignMeans(tx: Tx, user_id: string) {
  await tx.delete(apiKeys).where(eq(apiKeys.user_id, user_id))
  await tx.delete(recoveryCodes).where(eq(recoveryCodes.user_id, user_id))
}
