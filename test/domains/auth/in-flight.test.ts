import { eq } from 'drizzle-orm'
import { test } from 'tap'
import { demandPassword } from '../../../src/accounts/checks.ts'
import { openSession } from '../../../src/accounts/sessions.ts'
import { users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import { createApiKey } from '../../../src/domains/auth/api-keys.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { aUser, build } from '../../helper.ts'
import { CHEAP, registered } from './people.ts'

// What changes between the moment at which somebody was checked and that at which something is done for them.

const change = (app: App, id: string, fields: object) =>
  app.database.db.update(users).set(fields).where(eq(users.id, id))

/** A password check after which something happens before the caller goes on. */
function meanwhile(app: App, happen: () => Promise<unknown>) {
  const { verify } = app.accounts.passwords
  app.accounts.passwords.verify = async (find, password) => {
    const result = await verify(find, password)
    await happen()
    return result
  }
}

test('a password that is changed while it is checked opens nothing', async t => {
  const cases: [string, 'DELETE' | 'PUT' | 'POST', object][] = [
    ['/users/me', 'DELETE', {}],
    ['/users/me/email', 'PUT', { email: 'elsewhere@example.com' }],
    ['/users/me/password', 'PUT', { new_password: 'battery staple' }],
  ]
  for (const [path, method, fields] of cases) {
    const app = await build(t, { variables: CHEAP })
    const { user, password, headers } = await registered(app)
    meanwhile(app, () => change(app, user.id, { password_hash: 'another' }))
    const word = path.endsWith('password') ? { current_password: password } : { password }
    const payload = { ...word, ...fields }
    const answer = await app.inject({ method, url: `/api/v1${path}`, headers, payload })
    t.match(answer.json(), { status: 401, code: 'invalid_credentials' }, path)
    const [row] = await app.database.db.select().from(users).where(eq(users.id, user.id))
    t.match(row, { is_active: true, password_hash: 'another', email: user.email }, path)
  }
})

test('nor does one that was right for an account that is shut, changed or wants a code by then', async t => {
  const app = await build(t, { variables: CHEAP })
  const { database, accounts } = app
  for (const fields of [
    { mfa_enabled: true },
    { is_active: false },
    { deleted_at: new Date() },
    { password_changed_at: new Date(0) },
  ]) {
    const { id } = await aUser(app)
    const [before] = await database.db.select().from(users).where(eq(users.id, id))
    await change(app, id, fields)
    const password_changed_at = before?.password_changed_at ?? new Date()
    const opening = inTransaction(database.db, tx =>
      openSession(tx, accounts, systemActor(), { id, password_changed_at }, 'password'),
    )
    await t.rejects(opening, { message: /changed a moment ago/ }, Object.keys(fields)[0] ?? '')
  }
})

test('a session that is over makes no key that outlives it', async t => {
  const app = await build(t, { variables: CHEAP })
  const user = await aUser(app)
  const principal = await app.accounts.principals.ofSession(user.session_id)
  await app.inject({ method: 'POST', url: '/api/v1/auth/logout', headers: user.headers })
  const making = createApiKey(app.accounts, systemActor(), principal as never, {
    name: 'late',
    scopes: ['profile:read'],
  })
  await t.rejects(making, { message: 'The session is over.' })
})

test('who is asked for the password is told nothing about an account that has gone', async t => {
  const app = await build(t, { variables: CHEAP })
  const { user, password } = await registered(app)
  await change(app, user.id, { deleted_at: new Date() })
  await t.rejects(demandPassword(app.accounts, systemActor(), user.id, password), {
    message: 'The password is not right.',
  })
})
