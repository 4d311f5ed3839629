import { test } from 'tap'
import { newApiKey } from '../../../src/accounts/api-key-format.ts'
import { userUpdated } from '../../../src/accounts/events.ts'
import { apiKeys, devices, oneTimeLinks, sessions, users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import { items } from '../../../src/domains/items/tables.ts'
import { posts } from '../../../src/domains/posts/tables.ts'
import { record } from '../../../src/events/record.ts'
import type { Actor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { sha256 } from '../../../src/lib/opaque.ts'
import { aUser, build, listen } from '../../helper.ts'

const me = '/api/v1/users/me'

const origin = { request_id: 'r', ip: '192.0.2.7', user_agent: 'planted-agent' }

/** An event about what is a user's, by whomever. */
const happen = (app: App, owner_id: string, actor: Omit<Actor, 'origin'>, email = 'x@example.com') =>
  inTransaction(app.database.db, tx =>
    record(tx, { ...actor, origin }, userUpdated, { subject_id: owner_id, owner_id, after: { email } }),
  )

async function aKey(app: App, user_id: string): Promise<string> {
  const id = newId()
  const key_hash = sha256(newApiKey())
  await app.database.db
    .insert(apiKeys)
    .values({ id, user_id, name: 'Planted', prefix: 'plk_', key_hash, scopes: ['items:read'] })
  return id
}

interface Event {
  type: string
  actor: { type: string; id: string | null }
  ip: string | null
  user_agent: string | null
}

test('activity is one’s own, newest first, and tells of nobody else from where', async t => {
  const app = await build(t)
  const [user, other] = [await aUser(app), await aUser(app)]
  const [own_key, other_key] = [await aKey(app, user.id), await aKey(app, other.id)]
  await happen(app, user.id, { type: 'user', id: user.id })
  await happen(app, user.id, { type: 'api_key', id: own_key })
  await happen(app, user.id, { type: 'anonymous', id: null })
  await happen(app, user.id, { type: 'user', id: other.id })
  await happen(app, user.id, { type: 'api_key', id: other_key })
  await happen(app, user.id, { type: 'system', id: null })
  await happen(app, other.id, { type: 'user', id: user.id })
  const answer = await app.inject({ url: `${me}/activity`, headers: user.headers })
  t.equal(answer.statusCode, 200)
  const { data, pagination } = answer.json()
  t.strictSame(
    data.map(({ actor, ip, user_agent }: Event) => [actor.type, actor.id, ip, user_agent]),
    [
      ['system', null, null, null],
      ['api_key', other_key, null, null],
      ['user', other.id, null, null],
      ['anonymous', null, origin.ip, origin.user_agent],
      ['api_key', own_key, origin.ip, origin.user_agent],
      ['user', user.id, origin.ip, origin.user_agent],
    ],
  )
  t.strictSame(pagination, { per_page: 20, has_next: false, next_cursor: null })
})

test('activity is walked by cursor', async t => {
  const app = await build(t)
  const user = await aUser(app)
  for (let number = 0; number < 5; number++)
    await happen(app, user.id, { type: 'user', id: user.id }, `${number}@example.com`)
  const page = async (query: string) =>
    (await app.inject({ url: `${me}/activity?${query}`, headers: user.headers })).json()
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const { data, pagination } = await page(`per_page=2${cursor && `&cursor=${cursor}`}`)
    seen.push(...data.map((event: { changes: { email: string[] } }) => event.changes.email[1]))
    cursor = pagination.next_cursor
    await happen(app, user.id, { type: 'user', id: user.id }, 'late@example.com')
  }
  t.strictSame(
    seen,
    [4, 3, 2, 1, 0].map(number => `${number}@example.com`),
  )
  t.match(await page('cursor=x'), { status: 400, code: 'invalid_cursor' })
  t.match(await page('per_page=0'), { status: 400, code: 'validation_failed' })
})

test('the export is all that is held about the caller, and no secret of it', async t => {
  const app = await build(t)
  const { db } = app.database
  const secret = 'planted-secret'
  const [user, other] = [
    await aUser(app, 'user', { totp_secret: secret, password_hash: secret }),
    await aUser(app),
  ]
  for (const { id: user_id } of [user, other]) {
    await aKey(app, user_id)
    await db.insert(devices).values({ user_id, fingerprint: sha256(`device of ${user_id}`) })
    await db.insert(oneTimeLinks).values({
      ...{ user_id, purpose: 'change_email', email: `new.${user_id}@example.com` },
      ...{ token_hash: sha256(user_id), expires_at: new Date() },
    })
    await happen(app, user_id, { type: 'user', id: other.id })
  }
  const answer = await app.inject({ url: `${me}/export`, headers: user.headers })
  t.equal(answer.statusCode, 200)
  t.match(answer.headers['content-type'], /^application\/x-ndjson/)
  t.match(answer.headers['cache-control'], /no-store/)
  const lines = answer.body
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.strictSame(
    lines.map(({ type }) => type),
    ['user', 'session', 'api_key', 'device', 'link', 'event'],
  )
  t.match(lines[0].data, { id: user.id, email: user.email, password_changed_at: /Z$/ })
  t.match(lines[1].data, { id: user.session_id, ip: null, expires_at: /Z$/ })
  t.match(lines[2].data, { name: 'Planted', prefix: 'plk_', scopes: ['items:read'] })
  t.match(lines[3].data, { last_seen_at: /Z$/ })
  t.match(lines[4].data, { purpose: 'change_email', email: `new.${user.id}@example.com` })
  t.match(lines[5].data, { type: 'user.updated', owner_id: user.id, ip: null, user_agent: null })
  t.notMatch(answer.body, /hash|secret|fingerprint|planted-agent|totp/)
  for (const theirs of [other.email, other.session_id, sha256(user.id).toString('hex')]) {
    t.notOk(answer.body.includes(theirs))
  }
})

test('an export of any length comes whole, in pieces', async t => {
  const { app, url } = await listen(t)
  const { db } = app.database
  const user = await aUser(app)
  const expires_at = new Date(Date.now() + 60_000)
  const values = { user_id: user.id, secret_hash: Buffer.alloc(32), expires_at }
  await db.insert(sessions).values(Array.from({ length: 2_000 }, () => ({ ...values })))
  await inTransaction(db, async tx => {
    const actor: Actor = { type: 'user', id: user.id, origin }
    for (let count = 0; count < 2_500; count++)
      await record(tx, actor, userUpdated, { subject_id: user.id, owner_id: user.id, after: {} })
  })
  const answer = await fetch(`${url}${me}/export`, { headers: user.headers })
  const ids = new Map<string, Set<string>>()
  for (const line of (await answer.text()).trimEnd().split('\n')) {
    const { type, data } = JSON.parse(line)
    ids.set(type, (ids.get(type) ?? new Set()).add(data.id))
  }
  t.equal(ids.get('session')?.size, 2_001)
  t.equal(ids.get('event')?.size, 2_500)
  await db.delete(users)
})

test('items and posts are in the export, deleted ones too, newest first, and only one’s own', async t => {
  const app = await build(t)
  const { db } = app.database
  const [user, other] = [await aUser(app), await aUser(app)]
  const made = (minute: number) => ({ created_at: new Date(Date.UTC(2026, 0, 1, 0, minute)) })
  // Several of one moment, across the bounds of what is read at once.
  const moments = Array.from({ length: 250 }, (_, number) => Math.floor(number / 7))
  const metadata = { colour: 'red', deep: [1, { two: null }] }
  const fields = { description: 'What it is', price: '12.50', metadata, status: 'archived' as const }
  for (const { id } of [user, other]) {
    const owned = id === user.id ? 'own' : 'theirs'
    await db.insert(items).values(
      moments.map((minute, n) => ({
        ...fields,
        ...made(minute),
        user_id: id,
        title: `${owned} item ${n}`,
      })),
    )
    await db.insert(posts).values(
      moments.map((minute, n) => ({
        ...made(minute),
        author_id: id,
        title: `${owned} post ${n}`,
        content: 'x'.repeat(n),
        deleted_at: n === 3 ? new Date() : null,
      })),
    )
  }
  const answer = await app.inject({ url: `${me}/export`, headers: user.headers })
  t.equal(answer.statusCode, 200)
  t.notOk(answer.body.includes('theirs') || answer.body.includes(other.id))
  const lines: { type: string; data: Record<string, unknown> }[] = answer.body
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  for (const type of ['item', 'post']) {
    const rows = lines.filter(line => line.type === type).map(({ data }) => data)
    t.equal(new Set(rows.map(({ title }) => title)).size, 250)
    t.equal(rows.length, 250)
    const order = rows.map(({ created_at, id }) => `${created_at} ${id}`)
    t.strictSame(order, [...order].sort().reverse(), 'newest first')
  }
  t.match(
    lines.find(({ data }) => data.title === 'own item 0'),
    {
      data: {
        ...fields,
        user_id: user.id,
        version: 1,
        created_at: '2026-01-01T00:00:00.000Z',
        deleted_at: null,
      },
    },
  )
  t.match(
    lines.find(({ data }) => data.title === 'own post 3'),
    { data: { author_id: user.id, content: 'xxx', deleted_at: /Z$/ } },
  )
})
