import { and, eq, isNull, sql } from 'drizzle-orm'
import type { PgUpdateSetSource } from 'drizzle-orm/pg-core'
import { inTransaction } from '../db/transaction.ts'
import type { Db, Tx } from '../db/types.ts'
import type { EventType } from '../events/event-type.ts'
import { record } from '../events/record.ts'
import { type Actor, systemActor } from '../lib/actor.ts'
import { demandVersion, NO_PRECONDITION } from '../lib/precondition.ts'
import { fieldFault, NotFound } from '../lib/problems.ts'
import { emailChangedMail } from '../mail/templates/email-changed.ts'
import { verifyEmailMail } from '../mail/templates/verify-email.ts'
import type { Accounts } from './accounts.ts'
import {
  userCreated,
  userDeactivated,
  userDeleted,
  userEmailChanged,
  userRestored,
  userRoleChanged,
  userUpdated,
} from './events.ts'
import { dropLinks, makeLink } from './links.ts'
import { circumstances } from './notices.ts'
import { LastAdmin } from './problems.ts'
import { managedUserColumns, type User, userColumns } from './schemas.ts'
import { deleteSessions } from './sessions.ts'
import { users } from './tables.ts'

export interface NewUser {
  email: string
  password: string
  password_confirm?: string
  first_name: string
  last_name: string
  role?: User['role']
  is_active?: boolean
  tier?: User['tier']
  email_verified?: boolean
}

export type UserChanges = Partial<
  Pick<User, 'email' | 'first_name' | 'last_name' | 'role' | 'is_active' | 'tier' | 'email_verified'>
>

export const canonicalEmail = (email: string) => email.toLowerCase()

/** What `insertUser` takes: made before the transaction, because hashing takes its time. */
export async function prepareUser(accounts: Accounts, fields: NewUser) {
  const { password, password_confirm, email, ...rest } = fields
  await demandGoodPassword(accounts, password, password_confirm)
  return { ...rest, email: canonicalEmail(email), password_hash: await accounts.passwords.hash(password) }
}

/** Throws unless it may be chosen, and was typed the same twice where it was typed twice. */
export async function demandGoodPassword(
  { passwords }: Accounts,
  password: string,
  confirmation?: string,
  field = 'password',
): Promise<void> {
  if (confirmation !== undefined && confirmation !== password) {
    throw fault('/password_confirm', 'mismatch', 'must be the same as the password')
  }
  if (await passwords.isCommon(password)) {
    throw fault(`/${field}`, 'common_password', 'is one that everybody uses; choose another')
  }
}

const fault = (pointer: string, code: string, message: string) =>
  fieldFault({ in: 'body', pointer, code, message })

/** A new account, and a mail that asks to verify its e-mail. */
export async function insertUser(
  tx: Tx,
  accounts: Accounts,
  actor: Actor,
  values: Awaited<ReturnType<typeof prepareUser>>,
): Promise<User> {
  const [user] = await tx.insert(users).values(values).returning(managedUserColumns)
  if (user === undefined) throw new Error('An insert returns its row.')
  await record(tx, actor, userCreated, { subject_id: user.id, owner_id: user.id, after: user })
  await askToVerify(tx, accounts, actor, user)
  return user
}

/** Sends the link that verifies an e-mail, if that is still to be done and mail can be sent. */
export async function askToVerify(
  tx: Tx,
  { config, mailer }: Accounts,
  actor: Actor,
  user: Pick<User, 'id' | 'email' | 'first_name' | 'email_verified' | 'is_active'>,
): Promise<void> {
  if (user.email_verified || !user.is_active || !mailer.available) return
  const link = await makeLink(tx, config, 'verify_email', user)
  await mailer.send(tx, actor, verifyEmailMail, {
    to: user.email,
    data: { first_name: user.first_name, ...link, ...circumstances(toldTo(user, actor)) },
  })
}

/** From where an administrator, or any other user, works is not for this one to know; a stranger's place is. */
const toldTo = ({ id }: Pick<User, 'id'>, actor: Actor): Actor =>
  actor.type === 'anonymous' || actor.id === id ? actor : systemActor()

export async function createUser(accounts: Accounts, actor: Actor, fields: NewUser): Promise<User> {
  const values = await prepareUser(accounts, fields)
  return inTransaction(accounts.database.db, tx => insertUser(tx, accounts, actor, values))
}

/** Of those who are not deleted. */
export async function findUser(db: Db, id: string): Promise<User> {
  const [user] = await db
    .select(userColumns)
    .from(users)
    .where(and(eq(users.id, id), isNull(users.deleted_at)))
  return user ?? missing()
}

function missing(): never {
  throw new NotFound('There is no such user.')
}

/** Locked until the transaction ends, so that what is decided by it stays true. */
export async function lockUser(
  tx: Tx,
  id: string,
  { deleted = false, precondition = NO_PRECONDITION } = {},
): Promise<User> {
  const [user] = await tx.select(managedUserColumns).from(users).where(eq(users.id, id)).for('no key update')
  if (user === undefined || (user.deleted_at !== null) !== deleted) missing()
  demandVersion(precondition, user)
  return user
}

/** Changes a user; what the change means for sessions and caches comes with it. Nothing to change is no change. */
export async function changeUser(
  tx: Tx,
  accounts: Accounts,
  actor: Actor,
  id: string,
  changes: UserChanges,
  precondition = NO_PRECONDITION,
): Promise<User> {
  const losesAdmin = changes.is_active === false || (changes.role !== undefined && changes.role !== 'admin')
  if (losesAdmin) await demandAnotherAdmin(tx, id)
  const before = await lockUser(tx, id, { precondition })
  const values = valuesOf(before, changes)
  const differs = Object.entries(values).some(([field, value]) => before[field as keyof User] !== value)
  if (!differs) return before
  const after = await updateUser(tx, before.id, values)
  if (before.is_active && !after.is_active) await closeDoors(tx, after.id)
  await accounts.principals.forget(tx, after.id)
  await record(tx, actor, eventOf(before, after), { subject_id: after.id, owner_id: after.id, before, after })
  if (before.email !== after.email) await moveMail(tx, accounts, actor, before, after)
  return after
}

/** Neither a session nor a link that is about may open again when the account does. */
async function closeDoors(tx: Tx, user_id: string) {
  await deleteSessions(tx, { user_id })
  await dropLinks(tx, user_id)
}

/** An e-mail that somebody has typed in is not verified. */
function valuesOf(before: User, changes: UserChanges): UserChanges {
  if (changes.email === undefined) return changes
  const email = canonicalEmail(changes.email)
  return { ...(email !== before.email && { email_verified: false }), ...changes, email }
}

async function updateUser(tx: Tx, id: string, values: PgUpdateSetSource<typeof users>): Promise<User> {
  const [after] = await tx
    .update(users)
    .set({ ...values, ...nextVersion })
    .where(eq(users.id, id))
    .returning(managedUserColumns)
  return after ?? missing()
}

/** Links lie in the mailbox of the old address, which is told; the new one is asked whether it is the right one. */
async function moveMail(tx: Tx, accounts: Accounts, actor: Actor, before: User, after: User) {
  await dropLinks(tx, after.id)
  await askToVerify(tx, accounts, actor, after)
  const data = {
    first_name: before.first_name,
    new_email: after.email,
    ...circumstances(toldTo(after, actor)),
  }
  await accounts.mailer.notify(tx, actor, emailChangedMail, { to: before.email, data })
}

export const nextVersion = { version: sql`${users.version} + 1`, updated_at: sql`now()` }

/**
 * One change is one event: it is called after what weighs most in it, and shows all of it. Whoever follows one type must
 * not miss that somebody is out, then what they may do, then how to reach them: who is out has no role to speak of.
 */
function eventOf(before: User, after: User): EventType<typeof userUpdated.fields> {
  if (before.is_active && !after.is_active) return userDeactivated
  if (before.role !== after.role) return userRoleChanged
  return before.email === after.email ? userUpdated : userEmailChanged
}

/** Deleted users are kept for a while, with all that is theirs but their sessions, and can be restored. */
export async function deleteUser(
  tx: Tx,
  accounts: Accounts,
  actor: Actor,
  id: string,
  precondition = NO_PRECONDITION,
): Promise<void> {
  await demandAnotherAdmin(tx, id)
  const before = await lockUser(tx, id, { precondition })
  await updateUser(tx, before.id, { deleted_at: sql`now()` })
  await closeDoors(tx, before.id)
  await accounts.principals.forget(tx, before.id)
  await record(tx, actor, userDeleted, { subject_id: before.id, owner_id: before.id, before })
}

export async function restoreUser(
  tx: Tx,
  accounts: Accounts,
  actor: Actor,
  id: string,
  precondition = NO_PRECONDITION,
): Promise<User> {
  const before = await lockUser(tx, id, { deleted: true, precondition })
  const after = await updateUser(tx, before.id, { deleted_at: null })
  await accounts.principals.forget(tx, after.id)
  await record(tx, actor, userRestored, { subject_id: after.id, owner_id: after.id, after })
  return after
}

/**
 * All active administrators are locked, in the order of their ids. Two who would remove each other wait here, and the
 * second finds himself alone.
 */
async function demandAnotherAdmin(tx: Tx, id: string): Promise<void> {
  const isActiveAdmin = and(eq(users.role, 'admin'), eq(users.is_active, true), isNull(users.deleted_at))
  const admins = await tx
    .select({ id: users.id })
    .from(users)
    .where(isActiveAdmin)
    .orderBy(users.id)
    .for('no key update')
  // A client may write an id in capitals.
  if (admins.length === 1 && admins[0]?.id === id.toLowerCase()) {
    throw new LastAdmin('The last active administrator has to stay one.')
  }
}
