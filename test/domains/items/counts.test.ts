import { eq, inArray, sql } from 'drizzle-orm'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { itemCounts, items } from '../../../src/domains/items/tables.ts'
import { aUser, build } from '../../helper.ts'
import { type Headers, send } from './calls.ts'

/** So many random sequences take about three seconds on the embedded database. */
const RUNS = 20

const STATUSES = ['draft', 'published', 'archived'] as const
type Status = (typeof STATUSES)[number]
type Stats = Record<'total' | Status, number>

/** What the table holds, counted row by row. */
async function truth(app: App, user_id: string): Promise<Stats> {
  const rows = await app.database.db.select().from(items).where(eq(items.user_id, user_id))
  const there = rows.filter(({ deleted_at }) => deleted_at === null)
  const of = (status: Status) => there.filter(row => row.status === status).length
  return { total: there.length, draft: of('draft'), published: of('published'), archived: of('archived') }
}

/** What clients are told, by the numbers and by the lists. */
async function told(app: App, headers: Headers): Promise<{ stats: Stats; totals: Stats }> {
  const stats = (await send(app, 'GET', '/stats', headers)).json()
  const total = async (query: string) =>
    (await send(app, 'GET', `?per_page=1${query}`, headers)).json().pagination.total
  const [draft, published, archived] = [
    await total('&status=draft'),
    await total('&status=published'),
    await total('&status=archived'),
  ]
  return { stats, totals: { total: await total(''), draft, published, archived } }
}

interface Known {
  id: string
  status: Status
  deleted: boolean
}

interface Scene {
  app: App
  headers: Headers
  user_id: string
  /** What should be there. */
  known: Known[]
}

type Step = (scene: Scene) => Promise<unknown>

const status = fc.constantFrom(...STATUSES)
const place = fc.nat(1000)
const at = ({ known }: Scene, index: number) => known[index % Math.max(1, known.length)]

const create = status.map(
  (status): Step =>
    async ({ app, headers, known }) => {
      const made = (await send(app, 'POST', '', headers, { title: 'x', status })).json()
      known.push({ id: made.id, status, deleted: false })
    },
)

const call = (method: 'POST' | 'PATCH' | 'DELETE', suffix: string, change: (item: Known) => void) =>
  place.map(
    (index): Step =>
      async scene => {
        const item = at(scene, index)
        if (item === undefined) return
        const payload = method === 'PATCH' ? { status: 'draft', title: `${index}` } : undefined
        const answer = await send(scene.app, method, `/${item.id}${suffix}`, scene.headers, payload)
        if (answer.statusCode < 300) change(item)
        else if (answer.statusCode !== 404 || !item.deleted) throw new Error(answer.body)
      },
  )

const restored = (item: Known) => {
  item.deleted = false
  if (item.status === 'archived') item.status = 'draft'
}

const changes = [
  call('PATCH', '', item => {
    item.status = 'draft'
  }),
  call('POST', '/publish', item => {
    item.status = 'published'
  }),
  call('POST', '/archive', item => {
    item.status = 'archived'
  }),
  call('DELETE', '', item => {
    item.deleted = true
  }),
  call('POST', '/restore', restored),
]

/** Creates two, changes one and deletes another; nothing of it if one of these is not there and it is atomic. */
const batch = fc.tuple(status, place, place, fc.boolean()).map(
  ([status, first, second, atomic]): Step =>
    async scene => {
      const { app, headers, known } = scene
      const [changed, deleted] = [at(scene, first), at(scene, second)]
      const operations = [
        { op: 'create', data: { title: 'x', status } },
        ...(changed ? [{ op: 'update', id: changed.id, data: { status } }] : []),
        ...(deleted ? [{ op: 'delete', id: deleted.id }] : []),
        { op: 'create', data: { title: 'y' } },
      ]
      const answer = await send(app, 'POST', '/batch', headers, { operations, atomic })
      if (answer.statusCode === 422 && atomic && (changed?.deleted || deleted?.deleted)) return
      if (answer.statusCode !== 200) throw new Error(answer.body)
      if (changed && !changed.deleted) changed.status = status
      if (deleted) deleted.deleted = true
      for (const { item, status: code } of answer.json().results) {
        if (code === 201) known.push({ id: item.id, status: item.status, deleted: false })
      }
    },
)

/** Past the service, as a purge or an operator would. */
const insertMany = fc.tuple(fc.integer({ min: 1, max: 5 }), status, fc.boolean()).map(
  ([count, status, deleted]): Step =>
    async ({ app, user_id, known }) => {
      const row = { user_id, title: 'x', status, deleted_at: deleted ? new Date() : null }
      const rows = await app.database.db
        .insert(items)
        .values(Array.from({ length: count }, () => row))
        .returning({ id: items.id })
      for (const { id } of rows) known.push({ id, status, deleted })
    },
)

const removeMany = fc.tuple(place, place).map(
  ([from, count]): Step =>
    async ({ app, known }) => {
      const removed = known.splice(from % Math.max(1, known.length), 1 + (count % 3))
      if (removed.length === 0) return
      const ids = removed.map(({ id }) => id)
      await app.database.db.delete(items).where(inArray(items.id, ids))
    },
)

const deleteMany = status.map(
  (status): Step =>
    async ({ app, user_id, known }) => {
      await app.database.db
        .update(items)
        .set({ deleted_at: sql`now()` })
        .where(
          sql`${items.user_id} = ${user_id} and ${items.status} = ${status} and ${items.deleted_at} is null`,
        )
      for (const item of known) if (item.status === status) item.deleted = true
    },
)

const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: create },
    ...changes.map(arbitrary => ({ weight: 2, arbitrary })),
    { weight: 3, arbitrary: batch },
    { weight: 1, arbitrary: insertMany },
    { weight: 1, arbitrary: removeMany },
    { weight: 1, arbitrary: deleteMany },
  ),
  { minLength: 5, maxLength: 25 },
)

const expected = (known: Known[]): Stats => {
  const there = known.filter(({ deleted }) => !deleted)
  const of = (status: Status) => there.filter(item => item.status === status).length
  return { total: there.length, draft: of('draft'), published: of('published'), archived: of('archived') }
}

const keptRows = (app: App, user_id: string) =>
  app.database.db.select().from(itemCounts).where(eq(itemCounts.user_id, user_id))

const remove = (app: App, user_id: string) => app.database.db.delete(users).where(eq(users.id, user_id))

/** Throws where what is told differs from the table. */
async function compare(app: App, user_id: string, headers: Headers, numbers: Stats): Promise<void> {
  const { stats, totals } = await told(app, headers)
  const found = JSON.stringify({ stats, totals, rows: await truth(app, user_id) })
  const wanted = JSON.stringify({ stats: numbers, totals: numbers, rows: numbers })
  if (found !== wanted) throw new Error(`${found} should be ${wanted}`)
}

test('the counts are those of the table, whatever is done', async t => {
  const app = await build(t)
  const bystander = await aUser(app)
  await send(app, 'POST', '', bystander.headers, { title: 'x' })
  await fc.assert(
    fc.asyncProperty(steps, async steps => {
      const { id: user_id, headers } = await aUser(app)
      const scene: Scene = { app, headers, user_id, known: [] }
      for (const step of steps) await step(scene)
      await compare(app, user_id, headers, expected(scene.known))
      await remove(app, user_id)
      if ((await keptRows(app, user_id)).length > 0) throw new Error('Counts of nobody are left.')
    }),
    { numRuns: RUNS },
  )
  const one = { total: 1, draft: 1, published: 0, archived: 0 }
  await compare(app, bystander.id, bystander.headers, one)
  t.pass(`${RUNS} runs`)
})

test('nobody has nothing, and what is another’s does not count', async t => {
  const app = await build(t)
  const owner = await aUser(app)
  await send(app, 'POST', '', owner.headers, { title: 'x', status: 'published' })
  const none = { total: 0, draft: 0, published: 0, archived: 0 }
  for (const role of ['user', 'admin'] as const) {
    const { headers } = await aUser(app, role)
    t.strictSame((await send(app, 'GET', '/stats', headers)).json(), none, role)
    t.strictSame((await told(app, headers)).totals, none, role)
  }
  t.strictSame((await send(app, 'GET', '/stats', owner.headers)).json(), { ...none, total: 1, published: 1 })
})

const some = (count: number) => Array.from({ length: count }, (_none, index) => index)

test('the counts are those of the table after much at once', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const made = await Promise.all(some(20).map(() => send(app, 'POST', '', headers, { title: 'x' })))
  const ids: string[] = made.map(answer => answer.json().id)
  await agree(t, app, user_id, headers)
  const at = (number: number) => ids[number % 7]
  const answers = await Promise.all(
    some(20).flatMap(number => [
      send(app, 'POST', '', headers, { title: 'x', status: 'published' }),
      send(app, 'PATCH', `/${at(number)}`, headers, { status: STATUSES[number % 3] }),
      send(app, 'DELETE', `/${at(number * 3)}`, headers),
      send(app, 'POST', `/${at(number * 5)}/restore`, headers),
    ]),
  )
  for (const { statusCode, body } of answers) t.ok([200, 201, 204, 404].includes(statusCode), body)
  await agree(t, app, user_id, headers)
})

test('batches that want the same items in another order do not stand in each other’s way', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const ids: string[] = []
  for (const _each of some(8)) ids.push((await send(app, 'POST', '', headers, { title: 'x' })).json().id)
  const answers = await Promise.all(
    some(6).map(number => {
      const order = number % 2 ? ids : [...ids].reverse()
      const data = { status: STATUSES[number % 3], title: `${number}` }
      return send(app, 'POST', '/batch', headers, {
        operations: [...order.map(id => ({ op: 'update', id, data })), { op: 'create', data }],
      })
    }),
  )
  for (const { statusCode, body } of answers) t.equal(statusCode, 200, statusCode === 200 ? '' : body)
  await agree(t, app, user_id, headers)
})

test('who goes while items come leaves no counts', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const [, ...answers] = await Promise.all([
    remove(app, user_id),
    ...some(20).map(() => send(app, 'POST', '', headers, { title: 'x' })),
  ])
  for (const { statusCode, body } of answers) t.ok([201, 401, 409].includes(statusCode), body)
  t.strictSame(await keptRows(app, user_id), [])
  t.strictSame(await truth(app, user_id), { total: 0, draft: 0, published: 0, archived: 0 })
})

async function agree(t: Test, app: App, user_id: string, headers: Headers) {
  const numbers = await truth(app, user_id)
  t.strictSame(await told(app, headers), { stats: numbers, totals: numbers })
}
