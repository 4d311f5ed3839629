import { type Test, test } from 'tap'
import type { App } from '../../src/app.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import { purgePosts } from '../../src/domains/posts/jobs.ts'
import { publicPosts } from '../../src/domains/posts/kept.ts'
import { createPost } from '../../src/domains/posts/service.ts'
import { posts } from '../../src/domains/posts/tables.ts'
import { type Committed, followCommitted } from '../../src/events/committed.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { newId } from '../../src/lib/id.ts'
import { anotherDatabase } from '../database.ts'
import { aPost, path, send } from '../domains/posts/writing.ts'
import { aUser, build, signedIn } from '../helper.ts'
import { READS_POSTS, readers, results, until, watchStatements } from './watched.ts'

/** Alone on its database, and kept from its first read on. */
async function alone(t: Test): Promise<App> {
  const database = await anotherDatabase(t)
  const app = await build(t, { database })
  await until(async () => {
    await app.inject(path)
    return (await results(app, 'posts')).miss
  })
  return app
}

const titles = async (app: App, url = path) =>
  (await app.inject(url)).json().data.map(({ title }: { title: string }) => title)

test('a hundred who ask at the same time ask the database once', async t => {
  const app = await alone(t)
  const { url, post } = await aPost(app)
  const statements = watchStatements(app, READS_POSTS)
  for (const one of [path, url, `/api/v1/users/${post.author.id}/posts`, `${path}?per_page=5`]) {
    statements.count = 0
    const before = await results(app, 'posts')
    const answers = await Promise.all(Array.from({ length: 100 }, () => app.inject(one)))
    t.equal(new Set(answers.map(({ body }) => body)).size, 1)
    t.equal((await app.inject(one)).body, answers[0]?.body)
    const { hit = 0, dedupe = 0, bypass = 0 } = await results(app, 'posts')
    // On Postgres, a machine that is too busy to hear announcements keeps nothing for that time.
    const unheard = bypass - (before.bypass ?? 0)
    t.equal(statements.count, 1 + unheard, one)
    if (unheard === 0) {
      t.equal(hit - (before.hit ?? 0), 1)
      t.equal(dedupe - (before.dedupe ?? 0), 99)
    }
  }
})

test('who read before a change, and is answered after it, leaves nothing behind', async t => {
  const app = await alone(t)
  const { url, headers } = await aPost(app)
  const statements = watchStatements(app, READS_POSTS)
  statements.hold()
  const early = [app.inject(path), app.inject(url)]
  await until(() => statements.count === 2)
  await send(app, 'PATCH', url, headers, { title: 'New' })
  const during = app.inject(path)
  await until(() => statements.count === 3)
  statements.letGo()
  t.ok(
    (await Promise.all(early)).every(({ body }) => body.includes('On lamps')),
    'they did read before it',
  )
  t.match((await during).body, '"New"', 'who asks after it is not given what they read')
  t.strictSame(await titles(app), ['New'])
  t.match((await app.inject(url)).json(), { title: 'New' })
})

test('whoever wrote reads it, however many read besides', async t => {
  const app = await alone(t)
  const { url, headers } = await aPost(app)
  const stop = readers([app], [path, url])
  for (let round = 0; round < 24; round++) {
    const keyed = round % 2 ? { 'idempotency-key': newId() } : {}
    const title = `Round ${round}`
    if (round % 4) t.equal((await send(app, 'PATCH', url, headers, { title })).statusCode, 200)
    else
      t.equal(
        (await send(app, 'POST', path, { ...headers, ...keyed }, { title, content: 'x' })).statusCode,
        201,
      )
    const own = round % 4 ? await app.inject(url) : await app.inject({ url: path, headers })
    t.match(own.body, `"${title}"`)
    t.match((await app.inject(path)).body, `"${title}"`)
  }
  await stop()
})

test('under an idempotency key, too', async t => {
  const app = await alone(t)
  const { headers } = await aUser(app)
  for (const title of ['First', 'Second', 'Third']) {
    await titles(app)
    const keyed = { ...headers, 'idempotency-key': newId() }
    t.equal((await send(app, 'POST', path, keyed, { title, content: 'x' })).statusCode, 201)
    t.equal((await titles(app))[0], title)
  }
})

test('what is shown of an author changes at once', async t => {
  const app = await alone(t)
  const author = await aUser(app)
  const admin = await signedIn(app)
  const { url } = await aPost(app, author.headers)
  const user = `/api/v1/users/${author.id}`
  const shown = async () => {
    const [one, all, own] = await Promise.all([url, path, `${user}/posts`].map(one => app.inject(one)))
    const names = [one?.json(), all?.json().data[0], own?.json().data[0]].map(
      ({ author: { full_name } }) => full_name,
    )
    t.equal(new Set(names).size, 1, String(names))
    return names[0]
  }
  t.equal(await shown(), 'Ada Lovelace')
  const changes: [() => ReturnType<typeof send>, string][] = [
    [() => send(app, 'PATCH', '/api/v1/users/me', author.headers, { last_name: 'King' }), 'Ada King'],
    [() => send(app, 'PATCH', user, admin, { last_name: 'Byron' }), 'Ada Byron'],
    [() => send(app, 'PATCH', user, admin, { last_name: 'A', role: 'editor' }), 'Ada A'],
    [() => send(app, 'PATCH', user, admin, { last_name: 'B', email: `${newId()}@example.com` }), 'Ada B'],
    [() => send(app, 'PATCH', user, admin, { last_name: 'C', is_active: false }), 'Ada C'],
    [() => send(app, 'DELETE', user, admin), 'Deleted user'],
    [() => send(app, 'POST', `${user}/restore`, admin), 'Ada C'],
  ]
  for (const [change, name] of changes) {
    t.ok((await change()).statusCode < 300, name)
    t.equal(await shown(), name)
  }
})

test('what is deleted is gone at once, also when a job removes it', async t => {
  const app = await alone(t)
  const { url, headers } = await aPost(app)
  t.equal((await app.inject(url)).statusCode, 200)
  t.equal((await send(app, 'DELETE', url, headers)).statusCode, 204)
  const gone = await app.inject(url)
  t.equal(gone.statusCode, 404)
  t.equal(gone.headers['cache-control'], 'no-store')
  t.strictSame(await titles(app), [])
  await app.database.db.update(posts).set({ deleted_at: new Date(0) })
  const before = await results(app, 'posts')
  const { accounts, database } = app
  const job = {
    accounts,
    database,
    config: accounts.config,
    actor: systemActor(),
    signal: new AbortController().signal,
  }
  await purgePosts.run({}, job as never)
  await titles(app)
  t.equal((await results(app, 'posts')).miss, Number(before.miss) + 1, 'a job is heard of like anybody')
})

test('a change that is undone changes nothing, and no change is none', async t => {
  const app = await alone(t)
  const {
    url,
    headers,
    etag,
    post: { author },
  } = await aPost(app)
  const told: Committed[] = []
  followCommitted(app.database.db, change => told.push(change))
  t.equal(
    (await send(app, 'PATCH', url, { ...headers, 'if-match': '"x"' }, { title: 'New' })).statusCode,
    412,
  )
  t.equal((await send(app, 'PATCH', url, (await aUser(app)).headers, { title: 'New' })).statusCode, 403)
  t.equal((await send(app, 'PATCH', url, { ...headers, 'if-match': etag }, {})).statusCode, 200)
  t.strictSame(told, [])
  const post = { title: 'Undone', content: 'x' }
  const undone = inTransaction(app.database.db, async tx => {
    await createPost(tx, systemActor(), author.id, post)
    throw new Error('Undone.')
  })
  await t.rejects(undone, /Undone/)
  t.strictSame(told, [])
  t.equal((await send(app, 'PATCH', url, headers, { title: 'New' })).statusCode, 200)
  t.match(told, [{ type: 'post.updated' }])
})

test('searches, far pages and walks by cursor are not kept, nor what is large', async t => {
  const app = await alone(t)
  const { headers } = await aUser(app)
  const { url } = await aPost(app, headers, { content: 'x'.repeat(publicPosts.most_characters) })
  await aPost(app, headers)
  const { next_cursor } = (await app.inject(`${path}?per_page=1`)).json().pagination
  const statements = watchStatements(app, READS_POSTS)
  const far = [`${path}?search=lamps`, `${path}?page=6&per_page=1`, `${path}?cursor=${next_cursor}`]
  for (const one of [...far, url, path]) {
    statements.count = 0
    for (let times = 0; times < 3; times++) t.equal((await app.inject(one)).statusCode, 200)
    t.ok(statements.count >= 3, one)
  }
  for (const one of [`${path}?per_page=1`, `${path}?per_page=1&utm=x`, `${path}?page=1&per_page=1`]) {
    await app.inject(one)
    statements.count = 0
    t.equal((await app.inject(one)).statusCode, 200)
    t.equal(statements.count, 0, one)
  }
})

test('links are those of the URL that was asked for', async t => {
  const app = await alone(t)
  await aPost(app)
  await app.inject(`${path}?per_page=5`)
  const { headers } = await app.inject(`${path}?per_page=5&utm=x`)
  t.match(headers.link, `<${path}?per_page=5&utm=x>; rel="first"`)
})

test('however many things are asked for, so many are kept', async t => {
  const app = await alone(t)
  const authors = Array.from({ length: publicPosts.most_entries + 20 }, newId)
  for (const author of authors) await app.inject(`${path}?author_id=${author}`)
  const before = await results(app, 'posts')
  await app.inject(`${path}?author_id=${authors.at(-1)}`)
  t.match(await results(app, 'posts'), { hit: Number(before.hit ?? 0) + 1, miss: before.miss })
  for (const author of authors.slice(0, 20)) await app.inject(`${path}?author_id=${author}`)
  t.match(await results(app, 'posts'), { miss: Number(before.miss) + 20 }, 'the first of them are gone')
})

test('a failure is told to all who wait, and not kept', async t => {
  const app = await alone(t)
  const url = `${path}/${newId()}`
  const answers = await Promise.all(Array.from({ length: 10 }, () => app.inject(url)))
  t.ok(answers.every(({ statusCode }) => statusCode === 404))
  t.equal(new Set(answers.map(answer => answer.json().request_id)).size, 10)
})

test('who shows no credential may keep it, who does has to ask', async t => {
  const app = await alone(t)
  const { url, headers, post } = await aPost(app)
  for (const one of [path, url, `/api/v1/users/${post.author.id}/posts`]) {
    const anonymous = await app.inject({ url: one, headers: { origin: 'http://localhost:1' } })
    t.equal(anonymous.headers['cache-control'], 'public, max-age=10, stale-while-revalidate=60')
    t.equal(anonymous.headers.vary, 'Origin, Authorization, X-API-Key')
    for (const shown of [headers, { 'x-api-key': 'x' }, { authorization: 'Bearer x' }]) {
      const answer = await app.inject({ url: one, headers: shown })
      t.equal(answer.statusCode, 200)
      t.equal(answer.headers['cache-control'], 'private, no-cache')
      t.equal(answer.headers.etag, anonymous.headers.etag)
      t.equal(answer.body, anonymous.body)
    }
    for (const suffix of ['', '-br', '-gz']) {
      const tag = String(anonymous.headers.etag).replace(/"$/, `${suffix}"`)
      const known = await app.inject({ url: one, headers: { 'if-none-match': tag } })
      t.match(known, { statusCode: 304, body: '' })
      t.match(known.headers, { etag: tag, 'cache-control': /public/, vary: /Authorization/ })
    }
  }
  t.equal((await app.inject({ url, headers: { 'if-match': '"x"' } })).statusCode, 412)
  t.equal((await app.inject({ url: `${path}?cursor=x` })).headers['cache-control'], 'no-store')
})
