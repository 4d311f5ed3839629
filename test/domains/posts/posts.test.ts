import { eq, sql } from 'drizzle-orm'
import { test } from 'tap'
import { newApiKey, shownPart } from '../../../src/accounts/api-key-format.ts'
import { purgeUsers } from '../../../src/accounts/jobs.ts'
import { apiKeys, users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { purgeItems } from '../../../src/domains/items/jobs.ts'
import { items } from '../../../src/domains/items/tables.ts'
import { purgePosts } from '../../../src/domains/posts/jobs.ts'
import { posts } from '../../../src/domains/posts/tables.ts'
import { events } from '../../../src/events/tables.ts'
import type { Job, JobContext } from '../../../src/jobs/job.ts'
import type { Role, Scope } from '../../../src/lib/access.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { sha256 } from '../../../src/lib/opaque.ts'
import { aUser, build, signedIn, tellChange } from '../../helper.ts'
import { aPost, eventsOf, eventTypes, path, send } from './writing.ts'

const FIELDS = ['author', 'content', 'created_at', 'id', 'title', 'updated_at', 'version']

async function aKey(app: App, user_id: string, scopes: Scope[]) {
  const text = newApiKey()
  const key = { user_id, name: 'x', prefix: shownPart(text), key_hash: sha256(text), scopes }
  const [row] = await app.database.db.insert(apiKeys).values(key).returning({ id: apiKeys.id })
  return { id: row?.id, headers: { 'x-api-key': text } }
}

test('a post is written, and everybody can read it, without anything else about its author', async t => {
  const app = await build(t)
  const author = await aUser(app, 'user', { totp_secret: 'planted-secret' })
  const payload = { title: 'On lamps', content: ' They give light.\n\nDoubly so "in" pairs \u{1F4A1}.' }
  const headers = { ...author.headers, 'x-request-id': 'request-of-a-post' }
  const answer = await send(app, 'POST', path, headers, payload)
  t.equal(answer.statusCode, 201, answer.body)
  const post = answer.json()
  t.strictSame(Object.keys(post).sort(), FIELDS)
  t.match(post, { ...payload, author: { id: author.id, full_name: 'Ada Lovelace' }, version: 1 })
  t.strictSame(Object.keys(post.author), ['id', 'full_name'])
  t.match(post.id, /^.{8}-.{4}-7/)
  t.match(post.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.equal(answer.headers.location, `${path}/${post.id}`)
  t.match(answer.headers.etag, new RegExp(`^"${post.id}-1-[\\w-]+"$`))

  const read = await send(app, 'GET', `${path}/${post.id}`)
  t.strictSame(read.json(), post)
  t.equal(read.headers.etag, answer.headers.etag)
  for (const { body } of [answer, read]) t.notMatch(body, /author_id|deleted_at|email|secret|role/)
  const known = await send(app, 'GET', `${path}/${post.id}`, { 'if-none-match': String(read.headers.etag) })
  t.equal(known.statusCode, 304)

  const recorded = await eventsOf(app, post.id)
  t.equal(recorded.length, 1)
  t.match(recorded[0], {
    ...{ type: 'post.created', subject_type: 'post', actor_type: 'user', actor_id: author.id },
    ...{ owner_id: author.id, request_id: 'request-of-a-post' },
  })
  t.strictSame(recorded[0]?.changes, {
    title: [null, payload.title],
    content: [null, payload.content],
    version: [null, 1],
  })
})

test('a post that is not valid is not written', async t => {
  const app = await build(t)
  const { headers, id } = await aUser(app)
  const good = { title: 'A', content: 'B' }
  const { url } = await aPost(app, headers)
  for (const [fields, fault] of [
    [{ title: undefined }, { pointer: '/title', code: 'required' }],
    [{ content: undefined }, { pointer: '/content', code: 'required' }],
    [{ title: '' }, { pointer: '/title', code: 'minLength' }],
    [{ content: '' }, { pointer: '/content', code: 'minLength' }],
    [{ title: '\u{1F4A1}'.repeat(201) }, { pointer: '/title', code: 'maxLength' }],
    [{ content: 'x'.repeat(100_001) }, { pointer: '/content', code: 'maxLength' }],
    [{ title: null }, { pointer: '/title', code: 'type' }],
    [{ content: null }, { pointer: '/content', code: 'type' }],
    [{ title: 5 }, { pointer: '/title', code: 'type' }],
    [{ author_id: newId() }, { pointer: '/author_id', code: 'additionalProperties' }],
    [{ version: 7 }, { pointer: '/version', code: 'additionalProperties' }],
  ] as const) {
    const expected = { status: 400, code: 'validation_failed', errors: [{ in: 'body', ...fault }] }
    t.match((await send(app, 'POST', path, headers, { ...good, ...fields })).json(), expected)
    // What is left out of a change stays as it is.
    if (fault.code === 'required') continue
    for (const method of ['PATCH', 'PUT'] as const) {
      t.match((await send(app, method, url, headers, fields)).json(), expected)
    }
  }
  for (const text of ['a\0b', '\ud83d']) {
    const body = { ...good, content: text }
    t.match((await send(app, 'POST', path, headers, body)).json(), { status: 400, code: 'invalid_text' })
    t.match((await send(app, 'PATCH', url, headers, body)).json(), { status: 400, code: 'invalid_text' })
  }
  t.match((await send(app, 'GET', `${path}/x`)).json(), { errors: [{ in: 'path', pointer: '/id' }] })
  t.equal(await app.database.db.$count(posts, eq(posts.author_id, id)), 1)
})

test('as long as may be, by characters, however they are encoded', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const title = '\u{1F4A1}'.repeat(200)
  const content = '\u{1F9F6}'.repeat(100_000)
  const { post, url } = await aPost(app, headers, { title, content })
  t.equal(post.content, content)
  const escaped = JSON.stringify({ title, content }).replace(
    /[^ -~]/g,
    unit => `\\u${unit.charCodeAt(0).toString(16)}`,
  )
  const answer = await app.inject({
    method: 'PUT',
    url,
    headers: { ...headers, 'content-type': 'application/json' },
    payload: escaped,
  })
  t.match(answer.json(), { title, version: 1 }, 'the same in escapes is no change')
  t.strictSame(await eventTypes(app, post.id), ['post.created'])
})

test('a change is one event with what is different, and nothing to change is no change', async t => {
  const app = await build(t)
  const { post, url, headers } = await aPost(app)
  const steps = [
    ['PATCH', { title: 'On old lamps' }, { title: ['On lamps', 'On old lamps'] }],
    ['PUT', { content: 'No more.' }, { content: ['They give light.', 'No more.'] }],
    ['PATCH', { title: 'C', content: 'D' }, { title: ['On old lamps', 'C'], content: ['No more.', 'D'] }],
  ] as const
  let version = 1
  for (const [method, fields, changes] of steps) {
    const answer = await send(app, method, url, headers, fields)
    t.equal(answer.statusCode, 200, answer.body)
    t.match(answer.json(), { ...fields, id: post.id, version: ++version, created_at: post.created_at })
    t.strictSame(Object.keys(answer.json()).sort(), FIELDS)
    t.strictSame(answer.json().author, post.author)
    t.match(answer.headers.etag, new RegExp(`^"${post.id}-${version}-[\\w-]+"$`))
    const recorded = await eventsOf(app, post.id)
    t.equal(recorded.length, version)
    t.equal(recorded.at(-1)?.type, 'post.updated')
    t.strictSame(recorded.at(-1)?.changes, { ...changes, version: [version - 1, version] })
  }
  const before = (await send(app, 'GET', url)).json()
  for (const fields of [{}, { title: 'C' }, { title: 'C', content: 'D' }]) {
    for (const method of ['PATCH', 'PUT'] as const) {
      const answer = await send(app, method, url, headers, fields)
      t.strictSame(answer.json(), before)
      t.match(answer.headers.etag, new RegExp(`^"${post.id}-${version}-[\\w-]+"$`))
    }
  }
  t.equal((await eventsOf(app, post.id)).length, version)
})

test('who may change a post: its author, editors, their keys, and administrators', async t => {
  const app = await build(t)
  const { id: author_id, headers: author } = await aUser(app)
  const by = async (role: Role) => (await aUser(app, role)).headers
  const key = async (user_id: string, scope: Scope) => (await aKey(app, user_id, [scope])).headers
  const other = (await aUser(app)).id
  const editor = (await aUser(app, 'editor')).id
  const admin = (await aUser(app, 'admin')).id
  for (const [name, headers, outcome, code] of [
    ['nobody', {}, 401, 'unauthenticated'],
    ['the author', author, 200],
    ['the author’s key', await key(author_id, 'posts:write'), 200],
    ['the author’s key for something else', await key(author_id, 'items:write'), 403, 'insufficient_scope'],
    ['another user', await by('user'), 403, 'forbidden'],
    ['another user’s key', await key(other, 'posts:write'), 403, 'forbidden'],
    ['an editor', await by('editor'), 200],
    ['an editor’s key', await key(editor, 'posts:write'), 200],
    ['an editor’s key for something else', await key(editor, 'items:write'), 403, 'insufficient_scope'],
    ['an administrator', await by('admin'), 200],
    ['an administrator’s key', await key(admin, 'posts:write'), 403, 'forbidden'],
  ] as const) {
    const { post, url } = await aPost(app, author)
    const done = ['post.created']
    for (const [method, payload, type] of [
      ['PATCH', { title: 'One' }, 'post.updated'],
      ['PUT', { title: 'Two' }, 'post.updated'],
      ['DELETE', undefined, 'post.deleted'],
    ] as const) {
      const answer = await send(app, method, url, headers, payload)
      t.equal(answer.statusCode, outcome === 200 && method === 'DELETE' ? 204 : outcome, `${name}: ${method}`)
      if (outcome === 200) done.push(type)
      else t.match(answer.json(), { code })
    }
    t.strictSame(await eventTypes(app, post.id), done, name)
    if (outcome !== 200) t.strictSame((await send(app, 'GET', url)).json(), post, 'it stays as it was')
  }
})

test('whoever changes a post, it is its author’s, in the event too', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const { post, url } = await aPost(app, headers)
  const editor = await aUser(app, 'editor', { first_name: 'Max', last_name: 'Perkins' })
  const key = await aKey(app, editor.id, ['posts:write'])
  const answer = await send(app, 'PATCH', url, key.headers, { title: 'Better' })
  t.strictSame(answer.json().author, { id, full_name: 'Ada Lovelace' })
  t.match((await eventsOf(app, post.id)).at(-1), { owner_id: id, actor_type: 'api_key', actor_id: key.id })
})

test('a deleted post is gone', async t => {
  const app = await build(t)
  const { post, url, headers } = await aPost(app)
  const answer = await send(app, 'DELETE', url, headers)
  t.equal(answer.statusCode, 204)
  t.equal(answer.body, '')
  const gone = { status: 404, code: 'not_found' }
  t.match((await send(app, 'DELETE', url, headers)).json(), gone)
  t.match((await send(app, 'PATCH', url, headers, { title: 'x' })).json(), gone)
  t.match((await send(app, 'GET', url)).json(), gone)
  t.match((await send(app, 'GET', `${path}/${newId()}`)).json(), gone)
  t.match((await send(app, 'PATCH', `${path}/${newId()}`, headers, {})).json(), gone)
  t.match((await send(app, 'DELETE', url, await signedIn(app, 'user'))).json(), gone, 'for everybody')
  const recorded = await eventsOf(app, post.id)
  t.strictSame(
    recorded.map(({ type }) => type),
    ['post.created', 'post.deleted'],
  )
  t.strictSame(recorded[1]?.changes, {
    title: [post.title, null],
    content: [post.content, null],
    version: [1, null],
  })
})

test('a change can be tied to a version', async t => {
  const app = await build(t)
  const { post, url, etag, headers } = await aPost(app)
  const tied = { ...headers, 'if-match': etag }
  t.equal((await send(app, 'PATCH', url, tied, { title: 'First' })).statusCode, 200)
  const stale = { status: 412, code: 'precondition_failed' }
  t.match((await send(app, 'PATCH', url, tied, { title: 'Second' })).json(), stale)
  t.match((await send(app, 'PUT', url, tied, {})).json(), stale)
  t.match((await send(app, 'DELETE', url, tied)).json(), stale)
  const { etag: others } = await aPost(app)
  t.match((await send(app, 'DELETE', url, { ...headers, 'if-match': others })).json(), stale)
  const stranger = { ...(await signedIn(app, 'user')), 'if-match': etag }
  t.match((await send(app, 'PATCH', url, stranger, {})).json(), { status: 403 }, 'who may not, hears that')
  t.match((await send(app, 'GET', url)).json(), { title: 'First', version: 2 })
  t.equal((await send(app, 'DELETE', url, { ...headers, 'if-match': `"${post.id}-2"` })).statusCode, 204)
  t.strictSame(await eventTypes(app, post.id), ['post.created', 'post.updated', 'post.deleted'])
})

test('who has seen a post under another name of its author has not seen it', async t => {
  const app = await build(t)
  const author = await aUser(app)
  const { url, etag } = await aPost(app, author.headers)
  const seen = { 'if-none-match': etag }
  t.equal((await send(app, 'GET', url, seen)).statusCode, 304)
  await app.database.db.update(users).set({ last_name: 'King' }).where(eq(users.id, author.id))
  tellChange(app, 'user.updated')
  const renamed = await send(app, 'GET', url, seen)
  t.match(renamed.json(), { author: { full_name: 'Ada King' }, version: 1 })
  await app.database.db.update(users).set({ deleted_at: new Date() }).where(eq(users.id, author.id))
  tellChange(app, 'user.deleted')
  const known = { 'if-none-match': String(renamed.headers.etag) }
  t.match((await send(app, 'GET', url, known)).json(), { author: { full_name: 'Deleted user' } })
  const editor = await signedIn(app, 'editor')
  const changed = await send(app, 'PATCH', url, { ...editor, 'if-match': etag }, { title: 'New' })
  t.equal(changed.statusCode, 200, 'what is changed is the post, not the name')
})

test('of a hundred who change one version at once, one does', async t => {
  const app = await build(t)
  const { post, url, etag, headers } = await aPost(app)
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, number) =>
      send(app, 'PATCH', url, { ...headers, 'if-match': etag }, { title: `Title ${number}` }),
    ),
  )
  const statuses = answers.map(({ statusCode }) => statusCode).sort()
  t.strictSame(statuses, [200, ...Array.from({ length: 99 }, () => 412)])
  const winner = answers.find(({ statusCode }) => statusCode === 200)?.json()
  t.strictSame((await send(app, 'GET', url)).json(), winner)
  t.strictSame(await eventTypes(app, post.id), ['post.created', 'post.updated'])
})

test('of many who change or delete it at once, each change counts', async t => {
  const app = await build(t)
  const { post, url, headers } = await aPost(app)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, number) => send(app, 'PATCH', url, headers, { title: `Title ${number}` })),
  )
  t.ok(answers.every(({ statusCode }) => statusCode === 200))
  t.match((await send(app, 'GET', url)).json(), { version: 21 })
  const deletions = await Promise.all(Array.from({ length: 10 }, () => send(app, 'DELETE', url, headers)))
  t.strictSame(deletions.map(({ statusCode }) => statusCode).sort(), [204, ...Array(9).fill(404)])
  const changes = (await eventsOf(app, post.id)).map(({ changes }) => changes.title)
  t.equal(changes.length, 22)
  const becomes = new Set(changes.map(change => change?.[1]))
  t.ok(
    changes.every(change => change?.[0] === null || becomes.has(change?.[0])),
    'each begins where another one ended',
  )
})

test('the same key writes one post', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const keyed = { ...headers, 'idempotency-key': newId() }
  const payload = { title: 'Once', content: 'x' }
  const first = await send(app, 'POST', path, keyed, payload)
  const second = await send(app, 'POST', path, keyed, payload)
  t.equal(first.statusCode, 201)
  t.equal(second.body, first.body)
  t.equal(second.headers['idempotency-replayed'], 'true')
  t.equal(await app.database.db.$count(posts, eq(posts.author_id, id)), 1)
  t.strictSame(await eventTypes(app, first.json().id), ['post.created'])
})

test('an author who is deleted has no name, one who may not sign in keeps it', async t => {
  const app = await build(t)
  const { db } = app.database
  const { id, headers } = await aUser(app)
  const { url } = await aPost(app, headers)
  const shown = async () => {
    const { data } = (await send(app, 'GET', `${path}?author_id=${id}`)).json()
    const { author } = (await send(app, 'GET', url)).json()
    t.strictSame(data[0].author, author)
    return author
  }
  const be = async (fields: object) => {
    await db.update(users).set(fields).where(eq(users.id, id))
    tellChange(app, 'user.updated')
  }
  await be({ is_active: false })
  t.strictSame(await shown(), { id, full_name: 'Ada Lovelace' })
  await be({ deleted_at: new Date() })
  t.strictSame(await shown(), { id, full_name: 'Deleted user' })
  const edited = await send(app, 'PATCH', url, await signedIn(app, 'editor'), { title: 'Edited' })
  t.strictSame(edited.json().author, { id, full_name: 'Deleted user' })
  await be({ deleted_at: null, last_name: 'King' })
  t.strictSame(await shown(), { id, full_name: 'Ada King' })
})

async function run(app: App, job: Job, days = 30) {
  const { accounts, database } = app
  const { signal } = new AbortController()
  const config = { ...accounts.config, PURGE_AFTER_DAYS: days }
  await job.run({}, { config, database, actor: systemActor(), signal } as unknown as JobContext)
}

test('what was deleted long enough ago is removed for good, each with an event', async t => {
  const app = await build(t)
  const { db } = app.database
  const { id } = await aUser(app)
  const ago = (days: number) => sql`now() - ${days} * interval '1 d'`
  const fields = { title: 'Gone', content: 'planted', author_id: id, user_id: id }
  for (const [table, job, type] of [
    [posts, purgePosts, 'post.purged'],
    [items, purgeItems, 'item.purged'],
  ] as const) {
    // More than one transaction removes.
    const old = Array.from({ length: 450 }, newId)
    const kept = [newId(), newId()]
    await db.insert(table).values(old.map(id => ({ id, ...fields, deleted_at: ago(30.01) })))
    await db.insert(table).values({ id: kept[0], ...fields, deleted_at: ago(29.99) })
    await db.insert(table).values({ id: kept[1], ...fields, created_at: ago(100) })
    await Promise.all([run(app, job), run(app, job)])
    const left = await db.select({ id: table.id }).from(table).where(eq(table.title, 'Gone'))
    t.strictSame(left.map(({ id }) => id).sort(), kept, `${type}: what is younger, or not deleted, stays`)
    const recorded = await db.select().from(events).where(eq(events.type, type))
    t.strictSame(recorded.map(({ subject_id }) => subject_id).sort(), old)
    t.match(recorded[0], { owner_id: id, actor_type: 'system' })
    t.strictSame(recorded[0]?.changes, {}, 'and nothing of it lives on')
  }
})

test('a purge ends when the process does', async t => {
  const app = await build(t)
  const { accounts, database } = app
  const context = { ...accounts, database, actor: systemActor(), signal: AbortSignal.abort() }
  await t.rejects(purgePosts.run({}, context as unknown as JobContext), { name: 'AbortError' })
})

test('posts go with their author when that one goes for good', async t => {
  const app = await build(t)
  const { db } = app.database
  const { id, headers } = await aUser(app)
  const { url } = await aPost(app, headers)
  const total = async () => (await send(app, 'GET', path)).json().pagination.total
  const before = await total()
  await db.update(users).set({ deleted_at: sql`now() - interval '31 d'` }).where(eq(users.id, id))
  t.equal((await send(app, 'GET', url)).statusCode, 200)
  t.equal(await total(), before)
  await run(app, purgeUsers)
  t.equal((await send(app, 'GET', url)).statusCode, 404)
  t.equal(await total(), before - 1)
})
