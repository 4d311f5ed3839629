import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Accounts } from '../../accounts/accounts.ts'
import { demandPassword, demandStillConfirmed } from '../../accounts/checks.ts'
import { userPasswordChanged } from '../../accounts/events.ts'
import { dropLinks, makeLink } from '../../accounts/links.ts'
import { circumstances, tellOfPassword } from '../../accounts/notices.ts'
import { EmailTaken } from '../../accounts/problems.ts'
import { deleteSessions } from '../../accounts/sessions.ts'
import { users } from '../../accounts/tables.ts'
import {
  canonicalEmail,
  changeUser,
  demandGoodPassword,
  lockUser,
  nextVersion,
} from '../../accounts/users.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Tx } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import type { SignedInUser } from '../../lib/access.ts'
import type { Actor } from '../../lib/actor.ts'
import type { Precondition } from '../../lib/precondition.ts'
import { fieldFault } from '../../lib/problems.ts'
import { changeEmailMail } from '../../mail/templates/change-email.ts'
import { emailChangeRequestedMail } from '../../mail/templates/email-change-requested.ts'
import type { EmailChange, PasswordChange } from './schemas.ts'

// What users do to their own account, with their password.

/** Nothing of it is lost: an administrator can activate it again. */
export async function deactivate(
  accounts: Accounts,
  actor: Actor,
  user_id: string,
  password: string,
  precondition: Precondition,
): Promise<void> {
  const confirmation = await demandPassword(accounts, actor, user_id, password)
  await inTransaction(accounts.database.db, async tx => {
    await changeUser(tx, accounts, actor, user_id, { is_active: false }, precondition)
    await demandStillConfirmed(tx, confirmation)
  })
}

/** Ends every session but the one that asks, which has just shown that it is the user's. */
export async function changePassword(
  accounts: Accounts,
  actor: Actor,
  { id: user_id, session_id: except }: SignedInUser,
  { current_password, new_password }: PasswordChange,
  precondition: Precondition,
): Promise<void> {
  const { database, principals } = accounts
  if (new_password === current_password) throw unchanged('/new_password')
  await demandGoodPassword(accounts, new_password, undefined, 'new_password')
  const confirmation = await demandPassword(accounts, actor, user_id, current_password)
  const password_hash = await accounts.passwords.hash(new_password)
  await inTransaction(database.db, async tx => {
    const user = await lockUser(tx, user_id, { precondition })
    await demandStillConfirmed(tx, confirmation)
    await replaceHash(tx, user_id, password_hash)
    await deleteSessions(tx, { user_id, except })
    // By which whoever knew the old password could get at the account; one that verifies its e-mail does no harm.
    await dropLinks(tx, user_id, ['reset_password', 'change_email'])
    await principals.forget(tx, user_id)
    const after = { how: 'changed' }
    await record(tx, actor, userPasswordChanged, { subject_id: user_id, owner_id: user_id, after })
    await tellOfPassword(tx, accounts, actor, user, 'changed')
  })
}

const unchanged = (pointer: string) =>
  fieldFault({ in: 'body', pointer, code: 'unchanged', message: 'must be another than now' })

const replaceHash = (tx: Tx, id: string, password_hash: string) =>
  tx
    .update(users)
    .set({ password_hash, password_changed_at: sql`now()`, ...nextVersion })
    .where(eq(users.id, id))

/** The e-mail changes when the link that is sent to the new address is followed; the old one is warned now. */
export async function requestEmailChange(
  accounts: Accounts,
  actor: Actor,
  user_id: string,
  { email, password }: EmailChange,
  precondition: Precondition,
): Promise<void> {
  const { database, config, mailer } = accounts
  const new_email = canonicalEmail(email)
  const confirmation = await demandPassword(accounts, actor, user_id, password)
  await inTransaction(database.db, async tx => {
    const { email: old_email, first_name } = await lockUser(tx, user_id, { precondition })
    await demandStillConfirmed(tx, confirmation)
    if (new_email === old_email) throw unchanged('/email')
    await demandFree(tx, new_email)
    const link = await makeLink(tx, config, 'change_email', { id: user_id, email: new_email })
    const data = { first_name, new_email, ...circumstances(actor) }
    await mailer.send(tx, actor, changeEmailMail, { to: new_email, data: { ...data, ...link } })
    await mailer.send(tx, actor, emailChangeRequestedMail, { to: old_email, data })
  })
}

/** Told early, for people; what counts is the index, when the link is followed. */
async function demandFree(tx: Tx, email: string) {
  const taken = await tx.$count(users, and(eq(users.email, email), isNull(users.deleted_at)))
  if (taken > 0) throw new EmailTaken('There is an account with this e-mail already.')
}
