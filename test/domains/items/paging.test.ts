import { eq } from 'drizzle-orm'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { items } from '../../../src/domains/items/tables.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser, build } from '../../helper.ts'
import type { Headers } from './calls.ts'

/** Walks for each column and direction; all of them take about three seconds on the embedded database. */
const RUNS = 5

/** More than there ever are, in a walk that goes on and on. */
const MOST_SEEN = 100

/** A failure is simplified for so long, and no longer. */
const MOST_MS = 5_000

/** A list of one test run's own: what is in it, and how to ask for it. */
interface Scene<Row> {
  url: string
  headers: Headers
  insert(rows: (Row & { id: string })[]): Promise<unknown>
  /** For good, or so that it is only marked as deleted. */
  remove(id: string, forGood: boolean): Promise<unknown>
  change(id: string, values: Partial<Row>): Promise<unknown>
}

/** How a list is disturbed between two pages: places are among the rows that there are then. */
interface Disturbance<Row> {
  come: Row[]
  go: { place: number; forGood: boolean }[]
  change: { place: number; row: Row }[]
}

/** Few values, so that many rows have the same one. */
const moment = fc.integer({ min: 1, max: 3 }).map(second => new Date(Date.UTC(2026, 0, 1, 0, 0, 0, second)))
const words = fc.constantFrom('a', 'B', 'b', 'ä', 'b b', '%', '😀', '日')

const item = fc.record({
  title: words,
  status: fc.constantFrom('draft' as const, 'published' as const, 'archived' as const),
  price: fc.constantFrom('0.00', '9.00', '10.00'),
  created_at: moment,
  updated_at: moment,
})

const user = fc.record({
  email: words,
  first_name: words,
  created_at: moment,
  updated_at: moment,
  last_login_at: fc.option(moment),
})

type Item = typeof item extends fc.Arbitrary<infer T> ? T : never
type User = typeof user extends fc.Arbitrary<infer T> ? T : never

async function itemScene(app: App): Promise<Scene<Item>> {
  const { db } = app.database
  const { id: user_id, headers } = await aUser(app)
  return {
    url: '/api/v1/items?',
    headers,
    insert: rows => db.insert(items).values(rows.map(row => ({ ...row, user_id }))),
    remove: (id, forGood) =>
      forGood
        ? db.delete(items).where(eq(items.id, id))
        : db.update(items).set({ deleted_at: new Date() }).where(eq(items.id, id)),
    change: (id, values) =>
      db
        .update(items)
        .set({ ...values, description: 'changed' })
        .where(eq(items.id, id)),
  }
}

async function userScene(app: App, headers: Headers): Promise<Scene<User>> {
  const { db } = app.database
  // Emails are nobody else's, and the name tells one run's users from the others.
  const last_name = newId()
  const address = (text: string, id: string) => `${text.codePointAt(0)}${id}@example.com`
  return {
    url: `/api/v1/users?search=${last_name}&`,
    headers,
    insert: rows =>
      db
        .insert(users)
        .values(
          rows.map(row => ({ ...row, email: address(row.email, row.id), last_name, password_hash: '' })),
        ),
    remove: (id, forGood) =>
      forGood
        ? db.delete(users).where(eq(users.id, id))
        : db.update(users).set({ deleted_at: new Date() }).where(eq(users.id, id)),
    change: (id, { email, ...values }) =>
      db
        .update(users)
        .set({ ...values, ...(email && { email: address(email, id) }), tier: 'premium' })
        .where(eq(users.id, id)),
  }
}

const disturbance = <Row>(row: fc.Arbitrary<Row>): fc.Arbitrary<Disturbance<Row>> =>
  fc.record({
    come: fc.array(row, { maxLength: 2 }),
    go: fc.array(fc.record({ place: fc.nat(100), forGood: fc.boolean() }), { maxLength: 2 }),
    change: fc.array(fc.record({ place: fc.nat(100), row }), { maxLength: 2 }),
  })

const walk = <Row>(row: fc.Arbitrary<Row>) =>
  fc.record({
    rows: fc.array(row, { minLength: 1, maxLength: 20 }),
    per_page: fc.integer({ min: 1, max: 7 }),
    /** Before each page but the first; from then on, nobody disturbs. */
    disturbances: fc.array(disturbance(row), { maxLength: 6 }),
  })

type Walk<Row> = ReturnType<typeof walk<Row>> extends fc.Arbitrary<infer T> ? T : never

/** Walks through a list that changes meanwhile; throws if it was not as it should be. */
async function follow<Row extends object>(
  app: App,
  scene: Scene<Row>,
  sorting: { by: keyof Row; query: string },
  { rows, per_page, disturbances }: Walk<Row>,
): Promise<void> {
  const ask = async (query: string): Promise<{ ids: string[]; next: string | null }> => {
    const answer = await app.inject({ url: `${scene.url}${sorting.query}&${query}`, headers: scene.headers })
    if (answer.statusCode !== 200) throw new Error(answer.body)
    const { data, pagination } = answer.json()
    if (data.length > per_page && !query.includes('per_page=100')) throw new Error('The page is too long.')
    return { ids: data.map(({ id }: { id: string }) => id), next: pagination.next_cursor }
  }
  const withId = (row: Row) => ({ ...row, id: newId() })
  const first = rows.map(withId)
  await scene.insert(first)
  const present = first.map(({ id }) => id)
  const gone = new Set<string>()

  const disturb = async ({ come, go, change }: Disturbance<Row>) => {
    for (const { place, forGood } of go) {
      const [id] = present.splice(place % Math.max(1, present.length), 1)
      if (id === undefined) continue
      gone.add(id)
      await scene.remove(id, forGood)
    }
    for (const { place, row } of change) {
      const id = present[place % Math.max(1, present.length)]
      const { [sorting.by]: _kept, ...others } = row
      if (id !== undefined) await scene.change(id, others as Partial<Row>)
    }
    const comers = come.map(withId)
    if (comers.length > 0) await scene.insert(comers)
    present.push(...comers.map(({ id }) => id))
  }

  const before = (await ask('per_page=100')).ids
  const seen: string[] = []
  let page = await ask(`per_page=${per_page}`)
  for (let number = 0; ; number++) {
    seen.push(...page.ids)
    if (seen.length > MOST_SEEN) throw new Error('The walk does not come to an end.')
    if (page.next === null) break
    const next = disturbances[number]
    if (next !== undefined) await disturb(next)
    page = await ask(`per_page=${per_page}&cursor=${page.next}`)
  }
  const after = (await ask('per_page=100')).ids

  const once = new Set(seen)
  if (once.size !== seen.length) throw new Error(`A row was seen twice: ${seen}`)
  const throughout = first.map(({ id }) => id).filter(id => !gone.has(id))
  const missed = throughout.filter(id => !once.has(id))
  if (missed.length > 0) throw new Error(`${missed} were there throughout and not seen: ${seen}`)
  demandOrder(seen, before)
  demandOrder(seen, after)
}

/** Those that are in both have the same order. */
function demandOrder(seen: string[], whole: string[]) {
  const known = seen.filter(id => whole.includes(id)).join()
  const wanted = whole.filter(id => seen.includes(id)).join()
  if (known !== wanted) throw new Error(`The order was ${known} and should be ${wanted}`)
}

/** Each column, both ways. */
async function walks<Row extends object>(
  t: Test,
  app: App,
  columns: { by: keyof Row & string; sort_by?: string }[],
  row: fc.Arbitrary<Row>,
  scene: () => Promise<Scene<Row>>,
) {
  for (const { by, sort_by = by } of columns) {
    for (const sort_dir of ['asc', 'desc']) {
      const query = `sort_by=${sort_by}&sort_dir=${sort_dir}`
      const property = fc.asyncProperty(walk(row), async walk =>
        follow(app, await scene(), { by, query }, walk),
      )
      const outcome = await fc.check(property, { numRuns: RUNS, interruptAfterTimeLimit: MOST_MS })
      t.comment(`${query}: ${outcome.numRuns} runs, seed ${outcome.seed}`)
      const told = await fc.asyncDefaultReportMessage(outcome)
      t.notOk(outcome.failed, `${query} ${told ?? ''}`)
    }
  }
}

test('a walk through items sees each that is there throughout once, in order, whatever happens', async t => {
  const app = await build(t)
  const columns = (['created_at', 'updated_at', 'title', 'price', 'status'] as const).map(by => ({ by }))
  await walks<Item>(t, app, columns, item, () => itemScene(app))
})

test('a walk through users does, where some moments never were', async t => {
  const app = await build(t)
  const { headers } = await aUser(app, 'admin')
  const columns = [
    { by: 'last_login_at' },
    { by: 'created_at' },
    { by: 'updated_at' },
    { by: 'email' },
    { by: 'first_name', sort_by: 'full_name' },
  ] as const
  await walks<User>(t, app, [...columns], user, () => userScene(app, headers))
})
