import { and, eq, isNull } from 'drizzle-orm'
import { type Accounts, createAccounts } from '../accounts/accounts.ts'
import { type User, userColumns } from '../accounts/schemas.ts'
import { users } from '../accounts/tables.ts'
import { canonicalEmail } from '../accounts/users.ts'
import { databaseProblem, isConnectionFailure, isMissingTable } from '../db/errors.ts'
import { StartupError } from '../lib/exit-codes.ts'
import { isProblem, type Problem } from '../lib/problem.ts'
import { createMailer } from '../mail/mailer.ts'
import { withDatabase } from './with-database.ts'

/** What commands about accounts need. They answer with the sentence to print; a refusal is told as one, too. */
export function withAccounts(work: (accounts: Accounts) => Promise<string>): Promise<number> {
  return usingAccounts(async accounts => {
    process.stdout.write(`${await work(accounts)}\n`)
    return 0
  })
}

/** The same for those that print what they like, and answer with the exit code. */
export function usingAccounts(work: (accounts: Accounts) => Promise<number>): Promise<number> {
  return withDatabase(async (database, config) => {
    try {
      return await work(createAccounts(config, database, createMailer(config)))
    } catch (error) {
      throw asSentence(error)
    }
  })
}

function asSentence(error: unknown): unknown {
  if (isConnectionFailure(error)) return error
  if (isMissingTable(error)) return new StartupError('The database is not prepared: run `plinth migrate`.')
  const problem = isProblem(error) ? error : databaseProblem(error)
  return problem === undefined ? error : new StartupError(describe(problem), 1, error)
}

function describe({ message, errors = [] }: Problem): string {
  const faults = errors.map(fault => `${fault.pointer.slice(1)} ${fault.message}`.trim())
  if (faults.length === 0) return message
  // What is not the fault of a field needs to be told whose it is.
  const what = errors.every(({ pointer }) => pointer === '') ? message.replace(/\.$/, '') : 'Not valid'
  return `${what}: ${faults.join('; ')}.`
}

/** Of those who are not deleted. */
export async function userByEmail({ database }: Accounts, email: string): Promise<User | undefined> {
  const [user] = await database.db
    .select(userColumns)
    .from(users)
    .where(and(eq(users.email, canonicalEmail(email)), isNull(users.deleted_at)))
  return user
}

export async function demandUser(accounts: Accounts, email: string): Promise<User> {
  const user = await userByEmail(accounts, email)
  if (user === undefined) throw new StartupError(`There is no user with the e-mail ${email}.`)
  return user
}
