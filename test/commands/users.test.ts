import { eq, sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { sessions, users } from '../../src/accounts/tables.ts'
import type { Command } from '../../src/commands/command.ts'
import createAdminCommand, { createAdmin } from '../../src/commands/create-admin.ts'
import sessionsCommand, { revoke } from '../../src/commands/sessions.ts'
import usersCommand, {
  activate,
  deactivate,
  describeUser,
  disableMfa,
  findUsers,
  setRole,
  setTier,
} from '../../src/commands/users.ts'
import { allRows } from '../../src/db/rows.ts'
import type { Database } from '../../src/db/types.ts'
import { newId } from '../../src/lib/id.ts'
import { anotherDatabase, databaseVariables } from '../database.ts'
import { aUser, build } from '../helper.ts'
import { run } from '../processes.ts'

const PASSWORD = 'correct horse battery'

async function plinth(t: Test, variables: Record<string, string>, words: string, input?: string) {
  const running = run(t, 'src/cli.ts', variables, words.split(' '))
  if (input !== undefined) running.child.stdin?.write(input)
  const { code } = await running.exit
  return { code, output: running.output() }
}

const eventsOf = (database: Database, subject_id: string) =>
  allRows<{ type: string; actor_type: string; changes: object }>(
    database.db,
    sql`select type, actor_type, changes from events where subject_id = ${subject_id} order by id`,
  )

const emails = async (found: AsyncIterable<{ email: string }>) => {
  const list: string[] = []
  for await (const { email } of found) list.push(email)
  return list.sort()
}

test('an administrator is made by a pipe that may stay open, and is made once', async t => {
  const variables = { ...(await databaseVariables(t)), PASSWORD_BLOCKLIST: 'true' }
  t.strictSame(await plinth(t, variables, 'create-admin root@example.com', 'password123\n'), {
    code: 1,
    output: 'Not valid: password is one that everybody uses; choose another.',
  })
  t.strictSame(await plinth(t, variables, 'create-admin Root@Example.com', `${PASSWORD}\nmore\n`), {
    code: 0,
    output: 'root@example.com is an administrator now.',
  })
  const again = await plinth(t, variables, 'create-admin ROOT@example.com')
  t.equal(again.code, 1)
  t.match(again.output, 'plinth users set-role ROOT@example.com admin')
  t.match(await plinth(t, variables, 'users list --role admin --search ROOT@'), {
    code: 0,
    output: /^[\da-f-]{36} {2}active {4}admin {3}root@example\.com +Admin User\n1 user\.$/,
  })
})

test('a database that was never migrated is told, not thrown', async t => {
  const variables = await databaseVariables(t, { empty: true })
  t.strictSame(await plinth(t, variables, 'sessions revoke root@example.com'), {
    code: 1,
    output: 'The database is not prepared: run `plinth migrate`.',
  })
})

test('wrong words are a usage error', async t => {
  const wrong: [Command, string[]][] = [
    [usersCommand, ['', 'frobnicate', 'activate', 'deactivate a@example.com b@example.com']],
    [usersCommand, ['set-role a@example.com', 'set-role a@example.com emperor', 'list --role emperor']],
    [usersCommand, ['set-tier a@example.com', 'set-tier a@example.com anonymous']],
    [sessionsCommand, ['', 'revoke', 'end a@example.com', 'revoke a@example.com b@example.com']],
    [createAdminCommand, ['', 'a@example.com b@example.com', 'root@localhost']],
    [createAdminCommand, ['root@example.com --first-name=', 'root@example.com --last-name=a\0b']],
  ]
  for (const [command, calls] of wrong) {
    for (const words of calls) {
      const args = words.split(' ').filter(word => word !== '')
      await t.rejects(async () => command(args), { message: /\.$/, exitCode: 64 }, JSON.stringify(words))
    }
  }
  await t.rejects(async () => usersCommand(['list', '--typo']), { code: /^ERR_PARSE_ARGS/ })
})

test('a password has to pass as in the API', async t => {
  const app = await build(t)
  const person = { email: 'weak@example.com', first_name: 'Weak', last_name: 'User' }
  const refused = (password: string, message: string) =>
    t.rejects(createAdmin(app.accounts, person, password), { message, exitCode: 1 })
  await refused('1234567', 'Not valid: password must NOT have fewer than 8 characters.')
  await refused('x'.repeat(129), 'Not valid: password must NOT have more than 128 characters.')
  await refused('correct\0horse', 'Not valid: password holds a character that no text can hold.')
  t.strictSame(await emails(findUsers(app.database.db, { all: true, search: 'weak@' })), [])
})

test('nobody is changed who is not there', async t => {
  const { accounts } = await build(t)
  const message = 'There is no user with the e-mail nobody@example.com.'
  for (const command of [activate, deactivate, revoke]) {
    await t.rejects(command(accounts, 'nobody@example.com'), { message, exitCode: 1 })
  }
})

test('an administrator who is made here may do what administrators may', async t => {
  const app = await build(t, { database: await anotherDatabase(t) })
  const person = { email: 'Root@Example.com', first_name: 'Root', last_name: 'User' }
  await createAdmin(app.accounts, person, PASSWORD)
  const payload = { email: 'root@example.com', password: PASSWORD }
  const { user, access_token } = (
    await app.inject({ method: 'POST', url: '/api/v1/auth/login', payload })
  ).json()
  t.match(user, { role: 'admin', is_active: true, email_verified: true, full_name: 'Root User' })
  const headers = { authorization: `Bearer ${access_token}` }
  t.equal((await app.inject({ url: '/api/v1/audit', headers })).statusCode, 200)

  const events = await eventsOf(app.database, user.id)
  t.match(events, [{ type: 'user.created', actor_type: 'system', changes: { role: [null, 'admin'] } }])
  t.equal(events.length, 1)
  t.notMatch(JSON.stringify(events), /argon2|correct horse/)

  await t.rejects(deactivate(app.accounts, user.email), {
    message: 'The last active administrator has to stay one.',
  })
})

test('users are changed with one event each, and only if something changes', async t => {
  const app = await build(t)
  const { accounts, database } = app
  const { id, email, headers } = await aUser(app)
  const mine = () => app.inject({ url: '/api/v1/auth/sessions', headers })
  t.equal((await mine()).statusCode, 200)

  t.equal(
    await setRole(accounts, email.toUpperCase(), 'editor'),
    `The role of ${email.toUpperCase()} is editor now.`,
  )
  t.equal(await setRole(accounts, email, 'editor'), `The role of ${email} is editor already.`)
  t.equal(await setTier(accounts, email, 'premium'), `The tier of ${email} is premium now.`)
  t.equal(await setTier(accounts, email, 'premium'), `The tier of ${email} is premium already.`)
  t.equal(await deactivate(accounts, email), `${email} is deactivated, and signed out everywhere.`)
  t.equal((await mine()).statusCode, 401)
  t.equal(await deactivate(accounts, email), `${email} is inactive already.`)
  t.equal(await activate(accounts, email), `${email} may sign in now.`)
  t.equal(await activate(accounts, email), `${email} is active already.`)
  t.equal((await mine()).statusCode, 401)

  const events = await eventsOf(database, id)
  t.match(events, [
    { type: 'user.role_changed', actor_type: 'system', changes: { role: ['user', 'editor'] } },
    { type: 'user.updated', changes: { tier: ['standard', 'premium'] } },
    { type: 'user.deactivated', changes: { is_active: [true, false] } },
    { type: 'user.updated', changes: { is_active: [false, true] } },
  ])
  t.equal(events.length, 4)
})

test('all sessions of one user are ended, each with its event', async t => {
  const app = await build(t)
  const { db } = app.database
  const [user, other] = [await aUser(app), await aUser(app)]
  const second = newId()
  const [row] = await db.select().from(sessions).where(eq(sessions.id, user.session_id))
  if (row === undefined) throw new Error('The user has a session.')
  await db.insert(sessions).values({ ...row, id: second })
  const statusOf = async ({ headers }: typeof user) =>
    (await app.inject({ url: '/api/v1/auth/sessions', headers })).statusCode
  t.equal(await statusOf(user), 200)

  t.equal(await revoke(app.accounts, user.email), `Sessions of ${user.email} that were ended: 2.`)
  t.equal(await statusOf(user), 401)
  t.equal(await statusOf(other), 200)
  for (const id of [user.session_id, second]) {
    const events = await eventsOf(app.database, id)
    t.match(events, [
      { type: 'session.revoked', actor_type: 'system', changes: { how: [null, 'administrator'] } },
    ])
    t.equal(events.length, 1)
  }
})

test('a list finds what is meant literally, by pages, and shows the closed only if asked', async t => {
  const { db } = (await build(t)).database
  const common = { password_hash: 'none', first_name: 'Zoe', last_name: 'Quux' }
  const many = Array.from({ length: 501 }, (_, n) => ({ ...common, email: `many${n}@example.com` }))
  await db
    .insert(users)
    .values([
      ...many,
      { ...common, email: 'a_b@example.com', last_name: 'Quux of 100%', role: 'editor' },
      { ...common, email: 'axb@example.com', is_active: false },
      { ...common, email: 'gone@example.com', deleted_at: new Date() },
    ])
  t.equal((await emails(findUsers(db, { search: 'e qUux' }))).length, 502)
  t.equal((await emails(findUsers(db, { search: 'quux', all: true }))).length, 504)
  t.strictSame(await emails(findUsers(db, { search: 'A_B@', all: true })), ['a_b@example.com'])
  t.strictSame(await emails(findUsers(db, { search: '100%' })), ['a_b@example.com'])
  t.strictSame(await emails(findUsers(db, { search: '0%o', all: true })), [])
  t.strictSame(await emails(findUsers(db, { search: 'quux', role: 'editor' })), ['a_b@example.com'])
  t.strictSame(await emails(findUsers(db, { search: 'gone@' })), [])

  const [gone] = await db.select().from(users).where(eq(users.email, 'gone@example.com'))
  if (gone === undefined) throw new Error('It was inserted.')
  const line = describeUser({ ...gone, full_name: 'Ada\u001b[2J\nLovelace' })
  t.match(line, /^[\da-f-]{36} {2}deleted {3}user {4}gone@example\.com +Ada\?\[2J\?Lovelace$/)
})

test('whoever has lost the second factor is let in by an operator', async t => {
  const app = await build(t)
  const { accounts, database } = app
  const { id, email } = await aUser(app, 'user', { mfa_enabled: true, totp_secret: 'x' })
  t.equal(await disableMfa(accounts, email), `${email} signs in by the password alone now.`)
  await t.rejects(disableMfa(accounts, email), { message: 'MFA is not enabled.' })
  t.match(await eventsOf(database, id), [{ type: 'mfa.disabled', actor_type: 'system' }])
})
