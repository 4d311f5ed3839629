import type { Accounts } from '../../accounts/accounts.ts'
import { RegistrationClosed } from '../../accounts/problems.ts'
import { asUser, type NewSession, openSession } from '../../accounts/sessions.ts'
import { insertUser, type NewUser, prepareUser } from '../../accounts/users.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Actor } from '../../lib/actor.ts'

/** A new account with a session. */
export async function register(accounts: Accounts, actor: Actor, fields: NewUser): Promise<NewSession> {
  if (!accounts.config.REGISTRATION_OPEN) throw new RegistrationClosed('Registration is closed.')
  const values = await prepareUser(accounts, fields)
  return inTransaction(accounts.database.db, async tx => {
    const user = await insertUser(tx, accounts, actor, values)
    return openSession(tx, accounts, asUser(actor, user.id), user, 'registration')
  })
}
