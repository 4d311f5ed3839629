import { eq } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import type { Post } from '../../../src/domains/posts/schemas.ts'
import { posts } from '../../../src/domains/posts/tables.ts'
import { newId } from '../../../src/lib/id.ts'
import { MOST_COUNTED } from '../../../src/lib/paging.ts'
import { anotherDatabase } from '../../database.ts'
import { aUser, build, tellChange } from '../../helper.ts'
import { aPost, path, send } from './writing.ts'

interface Page {
  data: Post[]
  pagination: { total?: number; has_next: boolean; next_cursor: string | null }
}

const alone = async (t: Test) => build(t, { database: await anotherDatabase(t) })

const list = async (app: App, query = '', url = path): Promise<Page> =>
  (await send(app, 'GET', `${url}?${query}`)).json()

const titles = ({ data }: Page) => data.map(({ title }) => title)

/** Posts with these titles, the first one the oldest. */
async function withPosts(app: App, author_id: string, named: string[], fields: object = {}) {
  const rows = named.map((title, number) => {
    const created_at = new Date(Date.UTC(2026, 0, 1, 0, 0, 0, number))
    return { id: newId(), author_id, title, content: 'x', created_at, ...fields }
  })
  await app.database.db.insert(posts).values(rows)
  return rows.map(({ id }) => id)
}

test('the list is everybody’s posts, the newest first, whole, and tells nothing else of anybody', async t => {
  const app = await alone(t)
  const [ada, max] = [await aUser(app), await aUser(app, 'user', { first_name: 'Max', last_name: 'Perkins' })]
  const { post: first } = await aPost(app, ada.headers, { content: 'x'.repeat(5_000) })
  const { post: second } = await aPost(app, max.headers)
  const { url } = await aPost(app, max.headers)
  await send(app, 'DELETE', url, max.headers)
  const answer = await send(app, 'GET', path)
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json(), {
    data: [second, first],
    pagination: {
      ...{ page: 1, per_page: 20, total: 2, pages: 1 },
      ...{ has_next: false, has_prev: false, next_cursor: null },
    },
  })
  t.equal(answer.headers.link, `<${path}>; rel="first", <${path}?page=1>; rel="last"`)
  t.notMatch(answer.body, /email|author_id|deleted_at|role|example\.com/)
  t.strictSame((await list(app, 'sort_dir=asc')).data, [first, second])
})

test('pages by number and by cursor', async t => {
  const app = await alone(t)
  const { id } = await aUser(app)
  const ids = (await withPosts(app, id, ['a', 'b', 'c', 'd', 'e'])).reverse()
  const shown = async (query: string) => (await list(app, query)).data.map(({ id }) => id)
  t.strictSame(await shown('per_page=2'), ids.slice(0, 2))
  t.strictSame(await shown('per_page=2&page=2'), ids.slice(2, 4))
  t.strictSame(await shown('per_page=2&page=3'), ids.slice(4))
  const second = (await list(app, 'per_page=2&page=2')).pagination
  t.match(second, { page: 2, total: 5, pages: 3, has_next: true, has_prev: true })
  const beyond = await list(app, 'per_page=2&page=9')
  t.strictSame(beyond.data, [])
  t.match(beyond.pagination, { page: 9, total: 5, pages: 3, has_next: false, has_prev: true })
  const { next_cursor } = (await list(app, 'per_page=2')).pagination
  const onwards = await list(app, `per_page=2&cursor=${next_cursor}`)
  t.strictSame(
    onwards.data.map(({ id }) => id),
    ids.slice(2, 4),
  )
  t.strictSame(Object.keys(onwards.pagination).sort(), ['has_next', 'next_cursor', 'per_page'])
})

test('a walk by cursor, either way, sees each post once, whatever happens meanwhile', async t => {
  const app = await alone(t)
  const { id: author_id } = await aUser(app)
  // Some at the same moment; and made in another order than that of the list.
  const made = [1, 2, 2, 2, 3, 3, 4].map(second => ({ id: newId(), created_at: new Date(second * 1000) }))
  const ids = made.map(({ id }) => id)
  for (const fields of [4, 1, 3, 6, 2, 5, 0].map(at => made[at])) {
    await withPosts(app, author_id, ['Kept'], fields)
  }
  for (const sort_dir of ['asc', 'desc']) {
    const seen: string[] = []
    let query = `sort_dir=${sort_dir}&per_page=2`
    for (;;) {
      const { data, pagination } = await list(app, query)
      seen.push(...data.filter(({ title }) => title === 'Kept').map(({ id }) => id))
      await app.database.db.delete(posts).where(eq(posts.title, 'Passing'))
      await withPosts(app, author_id, ['Passing'], { created_at: new Date(0) })
      await withPosts(app, author_id, ['Passing'])
      if (pagination.next_cursor === null) break
      query = `sort_dir=${sort_dir}&per_page=2&cursor=${pagination.next_cursor}`
    }
    t.strictSame(seen, sort_dir === 'asc' ? ids : [...ids].reverse(), sort_dir)
  }
})

test('by author, there and at the author’s own address', async t => {
  const app = await alone(t)
  const [ada, max, mute] = [await aUser(app), await aUser(app), await aUser(app)]
  await withPosts(app, ada.id, ['a1', 'a2 red', 'a3 red'])
  await withPosts(app, max.id, ['m1', 'm2 red'])
  await withPosts(app, ada.id, ['gone'], { deleted_at: new Date() })
  const ofUser = ({ id }: { id: string }) => `/api/v1/users/${id}/posts`
  const same = async (query: string) => {
    const page = await list(app, `author_id=${ada.id}&${query}`)
    t.strictSame(await list(app, query, ofUser(ada)), page, query)
    return page
  }
  t.strictSame(titles(await same('')), ['a3 red', 'a2 red', 'a1'])
  t.equal((await same('')).pagination.total, 3)
  t.strictSame(titles(await same('search=RED&sort_dir=asc')), ['a2 red', 'a3 red'])
  t.equal((await same('search=RED')).pagination.total, 2)
  const { next_cursor } = (await same('per_page=2')).pagination
  t.strictSame(titles(await same(`cursor=${next_cursor}`)), ['a1'])
  t.strictSame(titles(await list(app, `author_id=${ada.id.toUpperCase()}`)), ['a3 red', 'a2 red', 'a1'])
  t.equal((await list(app, 'search=RED')).pagination.total, 3)

  const answer = await send(app, 'GET', `${ofUser(ada)}?per_page=1`)
  t.match(answer.headers.link, `<${ofUser(ada)}?per_page=1&page=2>; rel="next"`)
  t.strictSame(
    titles(await list(app, `author_id=${max.id}`, ofUser(ada))),
    ['a3 red', 'a2 red', 'a1'],
    'the address says whose',
  )

  t.match(await list(app, '', ofUser(mute)), { data: [], pagination: { total: 0 } }, 'who wrote nothing')
  t.match(await list(app, `author_id=${newId()}`), { data: [], pagination: { total: 0 } })
  t.match(await list(app, '', ofUser({ id: newId() })), { status: 404, code: 'not_found' })
  t.match(await list(app, '', ofUser({ id: 'x' })), { status: 400, errors: [{ in: 'path' }] })
  for (const { id } of [ada, mute]) {
    await app.database.db.update(users).set({ deleted_at: new Date() }).where(eq(users.id, id))
  }
  tellChange(app, 'user.deleted')
  const left = await same('')
  t.strictSame(titles(left), ['a3 red', 'a2 red', 'a1'], 'what a deleted user wrote stays')
  t.match(left.data[0]?.author, { full_name: 'Deleted user' })
  t.match(await list(app, '', ofUser(mute)), { data: [] })
  await app.database.db.delete(users).where(eq(users.id, ada.id))
  tellChange(app, 'user.purged')
  t.match(await list(app, '', ofUser(ada)), { status: 404, code: 'not_found' }, 'until the user is purged')
})

test('the search takes each character for itself, in any case', async t => {
  const app = await alone(t)
  const { id } = await aUser(app)
  await withPosts(app, id, ['100% sure', 'under_score', 'back\\slash', 'Ein Ärger', 'Plain', 'O’Neil "x"'])
  await withPosts(app, id, ['by content'], { content: 'Zwei ÄPFEL\nи ПРИВЕТ, ΣΟΦΙΑ 100 %' })
  const found = async (text: string) =>
    titles(await list(app, `sort_dir=asc&search=${encodeURIComponent(text)}`))
  t.strictSame((await found('%')).sort(), ['100% sure', 'by content'])
  t.strictSame(await found('0%'), ['100% sure'])
  t.strictSame(await found('_'), ['under_score'])
  t.strictSame(await found('\\'), ['back\\slash'])
  t.strictSame(await found('p_ain'), [])
  t.strictSame(await found('PLAIN'), ['Plain'])
  t.strictSame(await found('’neil "X'), ['O’Neil "x"'])
  for (const word of ['äpfel', 'Äpfel', 'привет', 'ПРИВ', 'σοφια', 'APFEL\nи'.replace('A', 'ä')]) {
    t.strictSame(await found(word), ['by content'], word)
  }
  t.strictSame(await found('är'), ['Ein Ärger'])
  t.strictSame(await found('apfel'), [], 'another letter')
  t.equal((await found('')).length, 7)
  t.match(await list(app, 'search=nobody'), { data: [], pagination: { total: 0, pages: 0 } })
})

test('the total is right after whatever was written, in parallel too', async t => {
  const app = await alone(t)
  const { headers } = await aUser(app)
  const total = async (query = '') => (await list(app, query)).pagination.total
  t.equal(await total(), 0)
  const made = await Promise.all(Array.from({ length: 40 }, () => aPost(app, headers)))
  t.equal(await total(), 40)
  await Promise.all([
    ...made.slice(0, 15).map(({ url }) => send(app, 'DELETE', url, headers)),
    ...made.slice(0, 15).map(({ url }) => send(app, 'DELETE', url, headers)),
    ...made.slice(15, 25).map(({ url }) => send(app, 'PATCH', url, headers, { title: 'Changed' })),
    ...Array.from({ length: 10 }, () => aPost(app, headers)),
  ])
  t.equal(await total(), 35)
  t.equal(await total('page=9'), 35, 'beyond the end')
  t.equal(await total('search=changed'), 10)
  t.equal(await total('search='), 35)
  const count = await app.database.db.$count(posts)
  t.equal(count, 50, 'of what is there, the deleted do not count')
})

test('what is filtered is counted no further than is quick', async t => {
  const app = await alone(t)
  const { id } = await aUser(app)
  const total = MOST_COUNTED + 1
  await withPosts(
    app,
    id,
    Array.from({ length: total }, () => 'Many'),
  )
  t.match((await list(app)).pagination, { total })
  t.notOk('total_is_minimum' in (await list(app)).pagination)
  for (const query of [`author_id=${id}`, 'search=many']) {
    t.match((await list(app, query)).pagination, { total: MOST_COUNTED, total_is_minimum: true }, query)
  }
})

test('a page is one statement, however many authors it has', async t => {
  const app = await alone(t)
  const seen = statementsOf(app)
  const count = async (url = path) => {
    seen.length = 0
    tellChange(app, 'post.updated')
    t.equal((await send(app, 'GET', url)).statusCode, 200)
    return seen.length
  }
  const [first] = [await aPost(app), await aPost(app)]
  t.equal(await count(), 1)
  for (let author = 0; author < 18; author++) await aPost(app)
  t.equal((await list(app)).data.length, 20)
  t.equal(await count(), 1)
  t.equal(await count(`${path}?search=light`), 1)
  t.equal(await count(`/api/v1/users/${first?.post.author.id}/posts`), 1)
  t.equal(await count(first?.url), 1)
})

type Statement = (text: string, ...rest: unknown[]) => unknown

function statementsOf(app: App): string[] {
  const { db } = app.database as unknown as {
    db: { _: { session: { client: Record<string, Statement> } } }
  }
  const { client } = db._.session
  const seen: string[] = []
  for (const name of ['unsafe', 'query']) {
    const own = client[name]
    if (own === undefined) continue
    client[name] = (text, ...rest) => {
      seen.push(text)
      return own.call(client, text, ...rest)
    }
  }
  return seen
}

test('bad parameters are the caller’s fault', async t => {
  const app = await alone(t)
  const { id } = await aUser(app)
  await withPosts(app, id, ['a', 'b'])
  const { next_cursor } = (await list(app, 'per_page=1')).pagination
  const items = Buffer.from(String(next_cursor), 'base64url').toString().replace('posts', 'items')
  for (const url of [path, `/api/v1/users/${id}/posts`]) {
    for (const cursor of ['x', '', `${next_cursor}A`, Buffer.from(items).toString('base64url')]) {
      t.match(await list(app, `cursor=${cursor}`, url), { status: 400, code: 'invalid_cursor' }, cursor)
    }
    t.match(await list(app, `sort_dir=asc&cursor=${next_cursor}`, url), { code: 'invalid_cursor' })
    for (const query of [
      `page=1&cursor=${next_cursor}`,
      'page=0',
      'page=50001&per_page=2',
      'per_page=101',
      'sort_dir=up',
      `search=${'x'.repeat(256)}`,
    ]) {
      t.match(await list(app, query, url), { status: 400, code: 'validation_failed' }, query)
    }
    t.match(await list(app, 'search=%00', url), { status: 400, code: 'invalid_text' })
  }
  t.match(await list(app, 'author_id=x'), { errors: [{ in: 'query', pointer: '/author_id' }] })
})
