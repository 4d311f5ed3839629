import { parseArgs } from 'node:util'
import { type Accounts, createAccounts } from '../accounts/accounts.ts'
import { insertUser, prepareUser } from '../accounts/users.ts'
import { inTransaction } from '../db/transaction.ts'
import { createItem } from '../domains/items/service.ts'
import { createPost } from '../domains/posts/service.ts'
import { systemActor } from '../lib/actor.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import type { Command } from './command.ts'
import { type Amounts, addMass } from './seed/mass.ts'
import { people, type Sample } from './seed/samples.ts'
import { userByEmail, withAccounts } from './with-accounts.ts'

const run: Command = args => {
  const { values } = parseArgs({
    args,
    options: {
      users: { type: 'string', default: '0' },
      items: { type: 'string', default: '0' },
      force: { type: 'boolean', default: false },
    },
  })
  const amounts = { users: readCount(values.users), items: readCount(values.items) }
  if (amounts.items > 0 && amounts.users === 0) {
    throw new StartupError('--items wants --users, over whom they are spread.', EXIT_USAGE)
  }
  return withAccounts(accounts => seed(accounts, amounts, values.force))
}

export default run

function readCount(text: string): number {
  if (!/^\d{1,8}$/.test(text)) {
    throw new StartupError('--users and --items are numbers of at most eight digits.', EXIT_USAGE)
  }
  return Number(text)
}

export async function seed(accounts: Accounts, amounts: Amounts, force = false): Promise<string> {
  if (accounts.config.NODE_ENV === 'production' && !force) {
    throw new StartupError(
      'These accounts have passwords that everybody knows; in production, say --force.',
      EXIT_USAGE,
    )
  }
  const added = await addPeople(accounts)
  const mass = await addMass(accounts, amounts)
  const [users, items] = [added.users + mass.users, added.items + mass.items]
  if (users + items === 0) return 'All of it is there already.'
  return `Added: ${users} users, ${items} items, ${added.posts} posts.`
}

async function addPeople(given: Accounts) {
  const { config, database, mailer } = given
  // Passwords that are meant to be known are on the list of known ones.
  const accounts = createAccounts({ ...config, PASSWORD_BLOCKLIST: false }, database, mailer)
  const added = { users: 0, items: 0, posts: 0 }
  for (const sample of people) {
    if ((await userByEmail(accounts, sample.user.email)) !== undefined) continue
    await addPerson(accounts, sample)
    added.users++
    added.items += sample.items.length
    added.posts += sample.posts.length
  }
  return added
}

/** All or nothing, so that whoever is there is there with what is theirs. */
async function addPerson(accounts: Accounts, sample: Sample) {
  const actor = systemActor()
  const values = await prepareUser(accounts, sample.user)
  await inTransaction(accounts.database.db, async tx => {
    const { id } = await insertUser(tx, accounts, actor, values)
    for (const item of sample.items) await createItem(tx, actor, id, item)
    for (const post of sample.posts) await createPost(tx, actor, id, post)
  })
}
