import { parseArgs } from 'node:util'
import type { Accounts } from '../accounts/accounts.ts'
import { endSessions } from '../accounts/sessions.ts'
import { inTransaction } from '../db/transaction.ts'
import { systemActor } from '../lib/actor.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import type { Command } from './command.ts'
import { demandUser, withAccounts } from './with-accounts.ts'

const run: Command = ([action, ...args]) => {
  const { positionals } = parseArgs({ args, allowPositionals: true })
  const [email, ...others] = positionals
  if (action !== 'revoke' || !email || others.length > 0) {
    throw new StartupError('Say whose sessions to end: plinth sessions revoke EMAIL.', EXIT_USAGE)
  }
  return withAccounts(accounts => revoke(accounts, email))
}

export default run

export async function revoke(accounts: Accounts, email: string): Promise<string> {
  const { id } = await demandUser(accounts, email)
  const count = await inTransaction(accounts.database.db, tx =>
    endSessions(tx, accounts, systemActor(), { user_id: id, how: 'administrator' }),
  )
  return `Sessions of ${email} that were ended: ${count}.`
}
