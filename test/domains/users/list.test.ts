import { eq } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { newId } from '../../../src/lib/id.ts'
import { anotherDatabase } from '../../database.ts'
import { aUser, build, signedIn } from '../../helper.ts'

interface Page {
  data: { id: string; email: string; full_name: string }[]
  pagination: { total?: number; has_next: boolean; next_cursor: string | null }
}

async function list(app: App, query: string, headers?: { authorization: string }) {
  return app.inject({ url: `/api/v1/users?${query}`, headers: headers ?? (await signedIn(app)) })
}

/** An administrator and these users, in a database of their own. */
async function withUsers(t: Test, ...people: object[]) {
  const app = await build(t, { database: await anotherDatabase(t) })
  const { headers, id } = await aUser(app, 'admin', { first_name: 'The', last_name: 'Admin' })
  const ids: string[] = []
  for (const fields of people) ids.push((await aUser(app, 'user', fields)).id)
  return { app, headers, admin: id, ids }
}

test('only administrators see it', async t => {
  const app = await build(t)
  t.equal((await app.inject('/api/v1/users')).statusCode, 401)
  for (const role of ['user', 'editor'] as const) {
    t.equal((await list(app, '', await signedIn(app, role))).statusCode, 403)
  }
})

test('a user in the list is shown as to administrators, and nothing secret of it', async t => {
  const { app, headers, ids } = await withUsers(t, { totp_secret: 'planted-secret' })
  const answer = await list(app, 'role=user', headers)
  t.equal(answer.statusCode, 200)
  const { data, pagination } = answer.json()
  t.strictSame(Object.keys(data[0]).sort(), [
    ...['created_at', 'deleted_at', 'email', 'email_verified', 'first_name', 'full_name', 'id', 'is_active'],
    ...['is_admin', 'last_login_at', 'last_name', 'mfa_enabled', 'role', 'tier', 'updated_at', 'version'],
  ])
  t.match(data[0], { id: ids[0], full_name: 'Ada Lovelace', last_login_at: null, deleted_at: null })
  t.notMatch(answer.body, /hash|secret|planted|password/)
  t.strictSame(pagination, {
    page: 1,
    per_page: 20,
    total: 1,
    pages: 1,
    has_next: false,
    has_prev: false,
    next_cursor: null,
  })
  t.equal(
    answer.headers.link,
    '</api/v1/users?role=user>; rel="first", </api/v1/users?role=user&page=1>; rel="last"',
  )
})

test('pages by number', async t => {
  const { app, headers, ids } = await withUsers(t, {}, {}, {}, {}, {})
  const page = async (number: number) =>
    (await list(app, `role=user&per_page=2&sort_dir=asc&page=${number}`, headers)).json()
  const seen = [...(await page(1)).data, ...(await page(2)).data, ...(await page(3)).data]
  t.strictSame(
    seen.map(({ id }) => id),
    ids,
  )
  t.match((await page(2)).pagination, { page: 2, total: 5, pages: 3, has_next: true, has_prev: true })
  t.match((await page(3)).pagination, { has_next: false, has_prev: true, next_cursor: null })
  const beyond = await page(50_000)
  t.strictSame(beyond.data, [])
  t.match(beyond.pagination, { page: 50_000, total: 5, pages: 3, has_next: false, has_prev: true })
  t.match((await page(50_001)).errors, [{ pointer: '/page', message: /use cursor/ }])
  t.match((await page(100_001)).errors, [{ pointer: '/page', message: /use cursor/ }])

  const { next_cursor } = (await page(1)).pagination
  const onwards = await list(app, `role=user&per_page=2&sort_dir=asc&cursor=${next_cursor}`, headers)
  t.strictSame(
    onwards.json().data.map(({ id }: { id: string }) => id),
    ids.slice(2, 4),
    'from a page by number the cursor leads on',
  )
  t.strictSame(Object.keys(onwards.json().pagination).sort(), ['has_next', 'next_cursor', 'per_page'])
})

test('the search takes each character for itself', async t => {
  const { app, headers } = await withUsers(
    t,
    { email: '100%sure@example.com', first_name: 'Zoë', last_name: 'O’Neil' },
    { email: 'under_score@example.com', first_name: 'Back\\slash', last_name: "D'Arc" },
    { email: 'plain@example.com', first_name: 'Grace', last_name: 'Hopper' },
  )
  const found = async (text: string) => {
    const answer = await list(
      app,
      `sort_by=email&sort_dir=asc&role=user&search=${encodeURIComponent(text)}`,
      headers,
    )
    return answer.json().data.map(({ email }: { email: string }) => email.slice(0, 5))
  }
  t.strictSame(await found('%'), ['100%s'])
  t.strictSame(await found('_'), ['under'])
  t.strictSame(await found('\\'), ['under'])
  t.strictSame(await found('PLAIN@'), ['plain'])
  t.strictSame(await found('ace HOP'), ['plain'], 'across first and last name')
  t.strictSame(await found('zoë'), ['100%s'])
  t.strictSame(await found("d'a"), ['under'])
  t.strictSame(await found('p_ain'), [])
  t.strictSame((await found('')).length, 3)
  const none = await list(app, 'search=nobody', headers)
  t.match(none.json(), { data: [], pagination: { total: 0, pages: 0 } })
})

test('filters', async t => {
  const { app, headers, ids, admin } = await withUsers(
    t,
    {},
    { is_active: false },
    { deleted_at: new Date() },
    { role: 'editor' },
  )
  const [active, inactive, deleted, editor] = ids
  const found = async (query: string) =>
    (await list(app, `sort_dir=asc&${query}`, headers)).json().data.map(({ id }: { id: string }) => id)
  t.strictSame(await found(''), [admin, active, editor])
  t.strictSame(await found('active_only=false'), [admin, active, inactive, editor])
  t.strictSame(await found('include_deleted=true'), [admin, active, deleted, editor])
  t.strictSame(await found('role=editor'), [editor])
  t.strictSame(await found('role=admin'), [admin])
})

const names = ['b', 'a', 'a', 'ä z', 'c', 'b', 'a']
const moments = [null, 5, 3, 3, null, 9, 3].map(day => day && new Date(Date.UTC(2026, 0, day, 0, 0, 0, day)))

test('a walk by cursor, by any column either way, sees each row once, whatever happens meanwhile', async t => {
  const people = names.map((name, number) => ({
    email: `${name.codePointAt(0)}${number}@walk.example`,
    first_name: name,
    last_name: 'Walker',
    created_at: moments[number] ?? new Date('2025-05-05T00:00:00Z'),
    updated_at: moments[number] ?? new Date('2025-05-05T00:00:00Z'),
    last_login_at: moments[number],
  }))
  const { app, headers, ids } = await withUsers(t, ...people)
  const rowsOf = async (query: string) => (await list(app, query, headers)).json() as Page
  for (const sort_by of ['created_at', 'updated_at', 'email', 'full_name', 'last_login_at']) {
    const orders: string[][] = []
    for (const sort_dir of ['asc', 'desc']) {
      const query = `search=Walker&sort_by=${sort_by}&sort_dir=${sort_dir}`
      const whole = await rowsOf(query)
      const order = whole.data.map(({ id }) => id)
      t.strictSame([...order].sort(), [...ids].sort())
      orders.push(order)
      const seen: string[] = []
      let page = await rowsOf(`${query}&per_page=2`)
      for (;;) {
        seen.push(...page.data.map(({ id }) => id))
        await disturb(app)
        const { next_cursor } = page.pagination
        if (next_cursor === null) break
        page = await rowsOf(`${query}&per_page=2&cursor=${next_cursor}`)
      }
      t.strictSame(
        seen.filter(id => ids.includes(id)),
        order,
        `${sort_by} ${sort_dir}`,
      )
      t.equal(new Set(seen).size, seen.length)
      await app.database.db.delete(users).where(eq(users.tier, 'premium'))
    }
    t.strictSame(orders[1], [...(orders[0] ?? [])].reverse(), `${sort_by}: one order is the other reversed`)
  }
  const { data } = await rowsOf('search=Walker&sort_by=last_login_at&sort_dir=desc')
  t.strictSame(
    data
      .slice(-2)
      .map(({ id }) => id)
      .sort(),
    [ids[0], ids[4]].sort(),
    'never comes after every moment',
  )
})

/** Somebody comes, at either end of any order, and those who came before go. */
async function disturb({ database: { db } }: App) {
  await db.delete(users).where(eq(users.tier, 'premium'))
  const values = { password_hash: '', last_name: 'Walker', tier: 'premium' } as const
  const early = { created_at: new Date(0), updated_at: new Date(0) }
  await db.insert(users).values([
    { ...values, ...early, email: `0${newId()}@walk.example`, first_name: 'A' },
    { ...values, email: `z${newId()}@walk.example`, first_name: 'z', last_login_at: new Date() },
  ])
}

test('bad parameters are the caller’s fault', async t => {
  const app = await build(t)
  const headers = await signedIn(app)
  await aUser(app)
  const { next_cursor } = (await list(app, 'per_page=1', headers)).json().pagination
  const problem = async (query: string) => (await list(app, query, headers)).json()
  for (const query of [
    `sort_by=email&cursor=${next_cursor}`,
    `sort_dir=asc&cursor=${next_cursor}`,
    `cursor=${next_cursor}A`,
    'cursor=x',
    'cursor=',
  ]) {
    t.match(await problem(query), { status: 400, code: 'invalid_cursor' }, query)
  }
  for (const query of [
    `page=1&cursor=${next_cursor}`,
    'page=0',
    'page=1.5',
    'page=x',
    'per_page=0',
    'per_page=101',
    'sort_by=password_hash',
    'sort_dir=up',
    'role=root',
    'active_only=perhaps',
    `search=${'x'.repeat(255)}`,
  ]) {
    t.match(await problem(query), { status: 400, code: 'validation_failed' }, query)
  }
  t.match(await problem('search=%00'), { status: 400, code: 'invalid_text' })
})
