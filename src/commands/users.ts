import { parseArgs } from 'node:util'
import { and, asc, eq, gt, isNull, or } from 'drizzle-orm'
import type { Accounts } from '../accounts/accounts.ts'
import { managedUserColumns, type User } from '../accounts/schemas.ts'
import { users } from '../accounts/tables.ts'
import { changeUser, type UserChanges } from '../accounts/users.ts'
import { contains } from '../db/search.ts'
import { inTransaction } from '../db/transaction.ts'
import type { Db } from '../db/types.ts'
import { removeMfa } from '../domains/auth/public.ts'
import { ROLES, type Role, TIERS, type Tier } from '../lib/access.ts'
import { systemActor } from '../lib/actor.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import { printable } from '../lib/text.ts'
import type { Command } from './command.ts'
import { demandUser, withAccounts } from './with-accounts.ts'

const READ_AT_ONCE = 500

const run: Command = ([action = '', ...args]) => {
  if (action === 'list') return list(args)
  const { positionals } = parseArgs({ args, allowPositionals: true })
  const [email = '', word = ''] = positionals
  const words = email === '' ? -1 : positionals.length
  if (action === 'activate' && words === 1) return withAccounts(accounts => activate(accounts, email))
  if (action === 'deactivate' && words === 1) return withAccounts(accounts => deactivate(accounts, email))
  if (action === 'disable-mfa' && words === 1) return withAccounts(accounts => disableMfa(accounts, email))
  if (action === 'set-role' && words === 2) {
    const role = readRole(word)
    return withAccounts(accounts => setRole(accounts, email, role))
  }
  if (action === 'set-tier' && words === 2) {
    const tier = readTier(word)
    return withAccounts(accounts => setTier(accounts, email, tier))
  }
  throw new StartupError(
    'Say what to do: plinth users list, activate EMAIL, deactivate EMAIL, disable-mfa EMAIL, set-role EMAIL ROLE, or ' +
      'set-tier EMAIL TIER.',
    EXIT_USAGE,
  )
}

export default run

function list(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      search: { type: 'string' },
      role: { type: 'string' },
      all: { type: 'boolean', default: false },
    },
  })
  const role = values.role === undefined ? undefined : readRole(values.role)
  return withAccounts(async ({ database }) => {
    let count = 0
    for await (const user of findUsers(database.db, { search: values.search, role, all: values.all })) {
      process.stdout.write(`${describeUser(user)}\n`)
      count++
    }
    return count === 1 ? '1 user.' : `${count} users.`
  })
}

function readRole(text: string): Role {
  const role = ROLES.find(known => known === text)
  if (role === undefined) throw new StartupError(`The role is one of ${ROLES.join(', ')}.`, EXIT_USAGE)
  return role
}

function readTier(text: string): Tier {
  const tier = TIERS.find(known => known === text)
  if (tier === undefined) throw new StartupError(`The tier is one of ${TIERS.join(', ')}.`, EXIT_USAGE)
  return tier
}

interface Wanted {
  search?: string | undefined
  role?: Role | undefined
  /** Also those who are deactivated or deleted. */
  all?: boolean
}

/** The oldest first, a page at a time: there may be millions. */
export async function* findUsers(db: Db, { search, role, all = false }: Wanted): AsyncGenerator<User> {
  const wanted = and(
    search === undefined ? undefined : or(contains(users.email, search), contains(users.full_name, search)),
    role === undefined ? undefined : eq(users.role, role),
    all ? undefined : and(eq(users.is_active, true), isNull(users.deleted_at)),
  )
  for (let last: string | undefined; ; ) {
    const page = await db
      .select(managedUserColumns)
      .from(users)
      .where(and(wanted, last === undefined ? undefined : gt(users.id, last)))
      .orderBy(asc(users.id))
      .limit(READ_AT_ONCE)
    yield* page
    if (page.length < READ_AT_ONCE) return
    last = page.at(-1)?.id
  }
}

export function describeUser({ id, email, role, full_name, ...user }: User): string {
  const state = user.deleted_at ? 'deleted' : user.is_active ? 'active' : 'inactive'
  return `${id}  ${state.padEnd(8)}  ${role.padEnd(6)}  ${email.padEnd(32)}  ${printable(full_name)}`
}

export async function activate(accounts: Accounts, email: string): Promise<string> {
  const changed = await change(accounts, email, { is_active: true })
  return changed ? `${email} may sign in now.` : `${email} is active already.`
}

export async function deactivate(accounts: Accounts, email: string): Promise<string> {
  const changed = await change(accounts, email, { is_active: false })
  return changed ? `${email} is deactivated, and signed out everywhere.` : `${email} is inactive already.`
}

export async function setRole(accounts: Accounts, email: string, role: Role): Promise<string> {
  const changed = await change(accounts, email, { role })
  return `The role of ${email} is ${role} ${changed ? 'now' : 'already'}.`
}

export async function setTier(accounts: Accounts, email: string, tier: Tier): Promise<string> {
  const changed = await change(accounts, email, { tier })
  return `The tier of ${email} is ${tier} ${changed ? 'now' : 'already'}.`
}

export async function disableMfa(accounts: Accounts, email: string): Promise<string> {
  const { id } = await demandUser(accounts, email)
  await removeMfa(accounts, systemActor(), id)
  return `${email} signs in by the password alone now.`
}

async function change(accounts: Accounts, email: string, changes: UserChanges): Promise<boolean> {
  const before = await demandUser(accounts, email)
  const after = await inTransaction(accounts.database.db, tx =>
    changeUser(tx, accounts, systemActor(), before.id, changes),
  )
  return after.version !== before.version
}
