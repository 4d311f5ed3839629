import { eq } from 'drizzle-orm'
import t, { test } from 'tap'
import { inTransaction } from '../../src/db/transaction.ts'
import { purgePosts } from '../../src/domains/posts/jobs.ts'
import { publicPosts } from '../../src/domains/posts/kept.ts'
import { createPost } from '../../src/domains/posts/service.ts'
import { posts } from '../../src/domains/posts/tables.ts'
import { type Committed, followCommitted } from '../../src/events/committed.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { newId } from '../../src/lib/id.ts'
import { aPost, path, send } from '../domains/posts/writing.ts'
import { aUser, build, signedIn, tellChange } from '../helper.ts'
import { READS_POSTS, readers, results, until, watchStatements } from './watched.ts'

// One for all of them, each with authors of its own. What is kept of one is not what another asks for, because each
// begins with a change.
const app = await build(t)
const statements = watchStatements(app, READS_POSTS)

const titles = async (url = path) =>
  (await app.inject(url)).json().data.map(({ title }: { title: string }) => title)

/**
 * How the cache answered. On Postgres, a machine that is too busy to hear announcements keeps nothing for that time: then
 * it is asked again.
 */
async function asked(url: string): Promise<string | undefined> {
  for (;;) {
    const before = await results(app, 'posts')
    const { statusCode } = await app.inject(url)
    if (statusCode !== 200) throw new Error(`${url} answers ${statusCode}.`)
    const after = await results(app, 'posts')
    const [result] = Object.keys(after).filter(one => after[one] !== (before[one] ?? 0))
    if (result !== 'bypass') return result
  }
}

// On Postgres, nothing is kept before announcements are heard.
await asked(path)

/** Whether what is kept for one is given to who asks for the other. On Postgres, what was just written is told again. */
async function isShared(one: string, other: string): Promise<boolean> {
  for (let turn = 0; turn < 10; turn++) {
    tellChange(app, 'post.updated')
    await asked(one)
    if ((await asked(other)) === 'hit') return true
  }
  return false
}

test('a hundred who ask at the same time ask the database once', async t => {
  const { url, post } = await aPost(app)
  const { kind } = app.database
  for (const one of [path, url, `/api/v1/users/${post.author.id}/posts`, `${path}?per_page=5`]) {
    const round = async () => {
      tellChange(app, 'post.updated')
      statements.count = 0
      const before = await results(app, 'posts')
      const answers = await Promise.all(Array.from({ length: 100 }, () => app.inject(one)))
      t.equal(new Set(answers.map(({ body }) => body)).size, 1)
      t.equal((await app.inject(one)).body, answers[0]?.body)
      const after = await results(app, 'posts')
      const [hit = 0, miss = 0, dedupe = 0, bypass = 0] = ['hit', 'miss', 'dedupe', 'bypass'].map(
        result => (after[result] ?? 0) - (before[result] ?? 0),
      )
      t.equal(statements.count, miss + bypass, one)
      return { hit, miss, dedupe, bypass }
    }
    let found = await round()
    // Postgres tells what was just written again, and a machine may be too busy to hear it.
    for (let more = 4; more > 0 && kind === 'postgres' && (found.miss > 1 || found.bypass > 0); more--)
      found = await round()
    if (kind === 'embedded' || found.bypass === 0)
      t.strictSame(found, { hit: 1, miss: 1, dedupe: 99, bypass: 0 }, one)
  }
})

test('who read before a change, and is answered after it, leaves nothing behind', async t => {
  const { url, headers } = await aPost(app)
  statements.hold()
  const early = [app.inject(path), app.inject(url)]
  await until(() => statements.read === 2)
  await send(app, 'PATCH', url, headers, { title: 'New' })
  const during = app.inject(path)
  await until(() => statements.read === 3)
  statements.letGo()
  t.ok(
    (await Promise.all(early)).every(({ body }) => body.includes('On lamps')),
    'they did read before it',
  )
  t.match((await during).body, '"New"', 'who asks after it is not given what they read')
  t.equal((await titles())[0], 'New')
  t.match((await app.inject(url)).json(), { title: 'New' })
})

test('whoever wrote reads it, however many read besides', async t => {
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
  const { headers } = await aUser(app)
  for (const title of ['First', 'Second', 'Third']) {
    await titles()
    const keyed = { ...headers, 'idempotency-key': newId() }
    t.equal((await send(app, 'POST', path, keyed, { title, content: 'x' })).statusCode, 201)
    t.equal((await titles())[0], title)
  }
})

test('what is shown of an author changes at once', async t => {
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
  const { url, headers, post } = await aPost(app)
  const list = `${path}?author_id=${post.author.id}`
  t.equal((await app.inject(url)).statusCode, 200)
  t.strictSame(await titles(list), ['On lamps'])
  t.equal((await send(app, 'DELETE', url, headers)).statusCode, 204)
  const gone = await app.inject(url)
  t.equal(gone.statusCode, 404)
  t.equal(gone.headers['cache-control'], 'no-store')
  t.strictSame(await titles(list), [])
  await app.database.db
    .update(posts)
    .set({ deleted_at: new Date(0) })
    .where(eq(posts.id, post.id))
  t.ok(await isShared(list, list))
  const { accounts, database } = app
  const job = {
    accounts,
    database,
    config: accounts.config,
    actor: systemActor(),
    signal: new AbortController().signal,
  }
  await purgePosts.run({}, job as never)
  t.equal(await asked(list), 'miss', 'a job is heard of like anybody')
})

test('a change that is undone changes nothing, and no change is none', async t => {
  const {
    url,
    headers,
    etag,
    post: { author },
  } = await aPost(app)
  const told: Committed[] = []
  t.teardown(followCommitted(app.database.db, change => told.push(change)))
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
  const { headers } = await aUser(app)
  await aPost(app, headers)
  await aPost(app, headers)
  const { next_cursor } = (await app.inject(`${path}?per_page=1`)).json().pagination
  const isNeverKept = async (one: string) => {
    statements.count = 0
    for (let times = 0; times < 3; times++) t.equal((await app.inject(one)).statusCode, 200)
    t.ok(statements.count >= 3, one)
  }
  for (const far of ['search=lamps', 'page=6&per_page=1', `cursor=${next_cursor}`])
    await isNeverKept(`${path}?${far}`)
  const { url } = await aPost(app, headers, { content: 'x'.repeat(publicPosts.most_characters) })
  for (const large of [url, path]) await isNeverKept(large)
  // Nor would others' lists be with it.
  await send(app, 'DELETE', url, headers)
  for (const one of [`${path}?per_page=1`, `${path}?per_page=1&utm=x`, `${path}?page=1&per_page=1`])
    t.ok(await isShared(`${path}?per_page=1`, one), one)
})

test('links are those of the URL that was asked for', async t => {
  await aPost(app)
  t.ok(await isShared(`${path}?per_page=5`, `${path}?per_page=5&utm=y`))
  const { headers } = await app.inject(`${path}?per_page=5&utm=x`)
  t.match(headers.link, `<${path}?per_page=5&utm=x>; rel="first"`)
})

test('however many things are asked for, so many are kept', async t => {
  const authors = Array.from({ length: publicPosts.most_entries + 20 }, newId)
  const list = (author: string | undefined) => asked(`${path}?author_id=${author}`)
  for (const author of authors) await list(author)
  t.equal(await list(authors.at(-1)), 'hit')
  for (const author of authors.slice(0, 20)) t.equal(await list(author), 'miss', 'the first of them are gone')
})

test('a failure is told to all who wait, and not kept', async t => {
  const url = `${path}/${newId()}`
  const answers = await Promise.all(Array.from({ length: 10 }, () => app.inject(url)))
  t.ok(answers.every(({ statusCode }) => statusCode === 404))
  t.equal(new Set(answers.map(answer => answer.json().request_id)).size, 10)
})

test('who shows no credential may keep it, who does has to ask', async t => {
  const { url, headers, post } = await aPost(app)
  // Too small to be encoded.
  for (const one of [`${path}?per_page=1`, url, `/api/v1/users/${post.author.id}/posts`]) {
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
