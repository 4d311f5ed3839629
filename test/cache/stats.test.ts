import { test } from 'tap'
import type { App } from '../../src/app.ts'
import { newId } from '../../src/lib/id.ts'
import { aUser, build, signedIn } from '../helper.ts'
import { results, watchStatements } from './watched.ts'

const path = '/api/v1/items'

test('stats are those after whatever was written last', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const other = await aUser(app)
  const admin = await signedIn(app)
  const send = (
    method: 'POST' | 'PATCH' | 'DELETE',
    url: string,
    by = headers,
    payload?: unknown,
    type?: string,
  ) =>
    app.inject({
      method,
      url: `${path}${url}`,
      headers: { ...by, ...(type !== undefined && { 'content-type': type }) },
      ...(payload !== undefined && { payload: payload as object }),
    })
  const stats = async (of = headers) => (await app.inject({ url: `${path}/stats`, headers: of })).json()
  const is = async (expected: [draft: number, published: number, archived: number], name: string) => {
    const [draft, published, archived] = expected
    const total = draft + published + archived
    for (let times = 0; times < 2; times++)
      t.strictSame(await stats(), { total, draft, published, archived }, name)
    t.strictSame(
      await stats(other.headers),
      { total: 0, draft: 0, published: 0, archived: 0 },
      'of nobody else',
    )
  }
  await is([0, 0, 0], 'nothing')
  const made = (await send('POST', '', headers, { title: 'x' })).json()
  await is([1, 0, 0], 'create')
  await send('POST', `/${made.id}/publish`)
  await is([0, 1, 0], 'publish')
  await send('POST', `/${made.id}/archive`)
  await is([0, 0, 1], 'archive')
  await send('POST', `/${made.id}/restore`)
  await is([1, 0, 0], 'back to draft')
  await send('PATCH', `/${made.id}`, headers, { status: 'published' })
  await is([0, 1, 0], 'update')
  await send('DELETE', `/${made.id}`)
  await is([0, 0, 0], 'delete')
  await send('POST', `/${made.id}/restore`)
  await is([0, 1, 0], 'restore')
  const operations = [
    { op: 'create', data: { title: 'a' } },
    { op: 'update', id: made.id, data: { status: 'archived' } },
    { op: 'delete', id: newId() },
  ]
  t.equal((await send('POST', '/batch', headers, { operations })).statusCode, 422)
  await is([0, 1, 0], 'a batch that failed')
  t.equal((await send('POST', '/batch', headers, { operations, atomic: false })).statusCode, 200)
  await is([1, 0, 1], 'batch')
  await send('POST', '/import', headers, '{"title":"i"}\n{"title":"j"}\n', 'application/x-ndjson')
  await is([3, 0, 1], 'import')
  await send('POST', `/${made.id}/publish`, admin)
  await is([3, 1, 0], 'by an administrator, of another’s')
  await send('POST', '', { ...headers, 'idempotency-key': newId() } as never, { title: 'keyed' })
  await is([4, 1, 0], 'under an idempotency key')
  t.equal(id, made.user_id)
})

const ofStats = /from item_counts/
const isKept = async (app: App) => ((await results(app, 'item_stats')).bypass ?? 0) === 0

test('they are read once, until there is something new', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const statements = watchStatements(app, ofStats)
  const ask = () => app.inject({ url: `${path}/stats`, headers })
  const answers = await Promise.all(Array.from({ length: 50 }, ask))
  t.equal(answers[0]?.headers['cache-control'], 'private, no-store')
  // On Postgres without Redis, who asks may have written elsewhere: they are not kept.
  if (!(await isKept(app))) return
  t.equal(statements.count, 1)
  await ask()
  t.equal(statements.count, 1)
  await app.inject({ method: 'POST', url: path, headers, payload: { title: 'x' } })
  t.match((await ask()).json(), { total: 1 })
  t.equal(statements.count, 2)
})
