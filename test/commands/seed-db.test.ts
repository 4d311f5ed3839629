import { sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { createAccounts } from '../../src/accounts/accounts.ts'
import { seed } from '../../src/commands/seed-db.ts'
import { allRows, firstRow } from '../../src/db/rows.ts'
import type { Database } from '../../src/db/types.ts'
import { timeOfId } from '../../src/lib/id.ts'
import { createMailer } from '../../src/mail/mailer.ts'
import { anotherDatabase } from '../database.ts'
import { build, testConfig } from '../helper.ts'

const NONE = { users: 0, items: 0 }
const production = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://never-connected',
  JWT_SECRET_KEY: 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo',
}

async function seeding(t: Test, variables: Record<string, string> = {}) {
  const database = await anotherDatabase(t)
  const config = testConfig(variables)
  return { database, accounts: createAccounts(config, database, createMailer(config)) }
}

const counts = ({ db }: Database) =>
  firstRow(
    db,
    sql`select (select count(*)::int from users) as users, (select count(*)::int from items) as items,
      (select count(*)::int from posts) as posts, (select count(*)::int from events) as events`,
  )

/** All that is to be the same in every database. */
const contents = ({ db }: Database) =>
  allRows(
    db,
    sql`select u.id, u.email, u.full_name, u.tier, u.is_active, u.created_at::text, i.id as item_id, i.title,
        i.description, i.status, i.price, i.metadata, i.created_at::text as made_at
      from users u left join items i on i.user_id = u.id where u.email like 'person-%' order by u.id, i.id`,
  )

test('the accounts of the documentation are there, with what is theirs, once', async t => {
  const { database, accounts } = await seeding(t)
  t.equal(await seed(accounts, NONE), 'Added: 6 users, 18 items, 12 posts.')
  t.strictSame(await counts(database), { users: 6, items: 18, posts: 12, events: 36 })
  t.equal(await seed(accounts, NONE), 'All of it is there already.')
  t.strictSame(await counts(database), { users: 6, items: 18, posts: 12, events: 36 })

  const app = await build(t, { database })
  const logIn = (email: string, password: string) =>
    app.inject({ method: 'POST', url: '/api/v1/auth/login', payload: { email, password } })
  for (const [email, password, role] of [
    ['admin@example.com', 'admin123', 'admin'],
    ['user1@example.com', 'password123', 'user'],
    ['user5@example.com', 'password123', 'user'],
  ] as const) {
    t.match((await logIn(email, password)).json(), { user: { role, email_verified: true } })
  }
})

test('in production it has to be forced, and then bears the list of common passwords', async t => {
  const { database, accounts } = await seeding(t, production)
  await t.rejects(seed(accounts, NONE), { exitCode: 64, message: /--force/ })
  t.match(await counts(database), { users: 0, items: 0 })
  t.match(await seed(accounts, NONE, true), 'Added: 6 users')
})

test('masses are spread evenly, without events, and vary', async t => {
  const { database, accounts } = await seeding(t)
  t.equal(await seed(accounts, { users: 50, items: 6000 }), 'Added: 56 users, 6018 items, 12 posts.')
  t.strictSame(await counts(database), { users: 56, items: 6018, posts: 12, events: 36 })
  const row = await firstRow<Record<string, number>>(
    database.db,
    sql`
      with mass as (select i.* from items i join users u on u.id = i.user_id where u.email like 'person-%')
      select (select min(n)::int from (select count(*) as n from mass group by user_id) each) as fewest,
        (select max(n)::int from (select count(*) as n from mass group by user_id) each) as most,
        count(distinct title)::int as titles, count(distinct price)::int as prices,
        count(distinct metadata)::int as metadata, count(distinct created_at::date)::int as days,
        count(distinct status)::int as statuses, count(distinct (status, split_part(title, ' ', 1)))::int as mixed,
        count(description)::int as described, min(length(title))::int as shortest
      from mass`,
  )
  t.match(row, { fewest: 120, most: 120, statuses: 3, days: 365, mixed: 60 })
  for (const field of ['titles', 'prices', 'metadata']) t.ok(Number(row?.[field]) > 2000, field)
  t.ok(Number(row?.described) > 4000 && Number(row?.described) < 5000)
  t.ok(Number(row?.shortest) > 10)

  const made = await allRows<{ id: string; ms: number }>(
    database.db,
    sql`select i.id, extract(epoch from i.created_at)::float8 * 1000 as ms
      from items i join users u on u.id = i.user_id where u.email like 'person-%'`,
  )
  t.ok(
    made.every(({ id }) => /^.{8}-.{4}-7.{3}-[89ab]/.test(id)),
    'ids are UUIDv7',
  )
  t.ok(
    made.every(({ id, ms }) => timeOfId(id).getTime() === Math.round(ms)),
    'which carry the moment in which the item was made',
  )
})

test('what was interrupted is completed by the same words, and the same everywhere', async t => {
  const whole = await seeding(t)
  await seed(whole.accounts, { users: 20, items: 200 })

  const parts = await seeding(t)
  await seed(parts.accounts, { users: 20, items: 30 })
  await parts.database.db.execute(sql`delete from users where email = 'person-7@example.com'`)
  t.match(await seed(parts.accounts, { users: 20, items: 200 }), /Added: 1 users, 17\d items/)
  t.equal(await seed(parts.accounts, { users: 20, items: 200 }), 'All of it is there already.')
  t.strictSame(await contents(parts.database), await contents(whole.database))
})

test('mass users know the password', async t => {
  const { database, accounts } = await seeding(t)
  await seed(accounts, { users: 1, items: 0 })
  const app = await build(t, { database })
  const payload = { email: 'person-1@example.com', password: 'password123' }
  const answer = await app.inject({ method: 'POST', url: '/api/v1/auth/login', payload })
  t.match(answer.json(), { user: { email_verified: true, role: 'user' } })
})
