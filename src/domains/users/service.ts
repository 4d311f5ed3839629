import type { Accounts } from '../../accounts/accounts.ts'
import { RegistrationClosed } from '../../accounts/problems.ts'
import type { User } from '../../accounts/schemas.ts'
import { changeUser, createUser, deleteUser, findUser, restoreUser } from '../../accounts/users.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Db } from '../../db/types.ts'
import { isAdmin, type Principal } from '../../lib/access.ts'
import type { Actor } from '../../lib/actor.ts'
import type { Precondition } from '../../lib/precondition.ts'
import { Forbidden, NotFound } from '../../lib/problems.ts'
import { countUsers, findManagedUser } from './queries.ts'
import type { NewUser, UserChanges } from './schemas.ts'

/** What only administrators decide. */
const MANAGED = ['role', 'is_active', 'tier'] as const satisfies (keyof UserChanges)[]

/** A user whom an administrator adds, or who adds himself. */
export async function addUser(
  accounts: Accounts,
  actor: Actor,
  caller: Principal | null,
  fields: NewUser,
): Promise<User> {
  if (isAdmin(caller)) return createUser(accounts, actor, fields)
  if (!accounts.config.REGISTRATION_OPEN) throw new RegistrationClosed('Registration is closed.')
  refuse(MANAGED, fields)
  return forOwner(await createUser(accounts, actor, fields))
}

function refuse(names: readonly string[], fields: object) {
  const field = names.find(name => name in fields)
  if (field !== undefined) throw new Forbidden(`Only an administrator may set ${field}.`)
}

/** Without what is shown to administrators only. */
const forOwner = ({ last_login_at: _login, deleted_at: _deletion, ...user }: User): User => user

/** As the caller may see it, who is an administrator or that user. */
export async function viewUser(db: Db, caller: Principal, id: string): Promise<User> {
  if (!isAdmin(caller)) return findUser(db, id)
  const user = await findManagedUser(db, id)
  if (user === undefined) throw noSuchUser()
  return user
}

/** Also one who is deleted, as long as the account is kept. */
export async function demandUser(db: Db, id: string): Promise<void> {
  if ((await countUsers(db, id)) === 0) throw noSuchUser()
}

const noSuchUser = () => new NotFound('There is no such user.')

/** By an administrator or that user, who is refused what is not his to decide. */
export async function editUser(
  accounts: Accounts,
  actor: Actor,
  caller: Principal,
  id: string,
  changes: UserChanges,
  precondition: Precondition,
): Promise<User> {
  if (!isAdmin(caller)) refuse(['email', ...MANAGED], changes)
  const user = await inTransaction(accounts.database.db, tx =>
    changeUser(tx, accounts, actor, id, changes, precondition),
  )
  // Whoever has paid for another tier has it with the next request, wherever that arrives.
  if (changes.tier !== undefined) await accounts.principals.heardEverywhere()
  return isAdmin(caller) ? user : forOwner(user)
}

export function removeUser(
  accounts: Accounts,
  actor: Actor,
  id: string,
  precondition: Precondition,
): Promise<void> {
  return inTransaction(accounts.database.db, tx => deleteUser(tx, accounts, actor, id, precondition))
}

export function bringBackUser(
  accounts: Accounts,
  actor: Actor,
  id: string,
  precondition: Precondition,
): Promise<User> {
  return inTransaction(accounts.database.db, tx => restoreUser(tx, accounts, actor, id, precondition))
}
