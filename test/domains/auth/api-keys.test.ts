import { eq } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { apiKeys, users } from '../../../src/accounts/tables.ts'
import { changeUser, deleteUser } from '../../../src/accounts/users.ts'
import type { App } from '../../../src/app.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import { events } from '../../../src/events/tables.ts'
import { ADMINS } from '../../../src/lib/access.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser, build, probe } from '../../helper.ts'

const path = '/api/v1/auth/api-keys'
const system = systemActor({ request_id: 'request-1', ip: null, user_agent: null })
const nextYear = new Date(Date.now() + 365 * 86_400_000).toISOString()

type Headers = Record<string, string>
type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

/** The service with what keys are for, as long as no domain of ours is. */
const open = (t: Test) =>
  build(t, {
    routes: async app => {
      const read = { ...probe('readThings'), config: { access: { scope: 'items:read' } as const } }
      app.get('/things', read, async ({ user, actor }) => ({ user, actor }))
      const write = { ...probe('writeThings'), config: { access: { scope: 'items:write' } as const } }
      app.post('/things', write, async () => ({}))
      app.get('/own', { ...probe('getOwn'), config: { access: {} } }, async () => ({}))
      app.get('/administered', { ...probe('administer'), config: { access: ADMINS } }, async () => ({}))
    },
  })

const call = (app: App, method: Method, url: string, headers: Headers, payload?: object) =>
  app.inject({ method, url, headers, ...(payload && { payload }) })

async function aKey(app: App, headers: Headers, fields: object = {}) {
  const answer = await call(app, 'POST', path, headers, { name: 'CI', scopes: ['items:read'], ...fields })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json() as { id: string; key: string; prefix: string; scopes: string[] }
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

const statusWith = async (app: App, key: string) =>
  (await call(app, 'GET', '/things', bearer(key))).statusCode

const eventsOf = (app: App, id: string) =>
  app.database.db.select().from(events).where(eq(events.subject_id, id)).orderBy(events.id)

test('a key is shown when it is made, and never again', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const made = await call(app, 'POST', path, headers, {
    name: 'Nightly build',
    scopes: ['items:read', 'posts:write'],
    expires_at: nextYear,
  })
  t.equal(made.statusCode, 201, made.body)
  t.match(made.headers, { 'cache-control': 'private, no-store' })
  const { key, ...shown } = made.json()
  t.equal(made.headers.location, `${path}/${shown.id}`)
  t.match(key, /^plk_[0-9A-Za-z]{40}$/)
  const { id, created_at, updated_at, ...rest } = shown
  t.match(created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.equal(updated_at, created_at)
  t.strictSame(rest, {
    name: 'Nightly build',
    prefix: key.slice(0, 12),
    scopes: ['items:read', 'posts:write'],
    expires_at: nextYear,
    previous_expires_at: null,
    last_used_at: null,
  })
  const one = await call(app, 'GET', `${path}/${id}`, headers)
  t.strictSame(one.json(), shown)
  const list = await call(app, 'GET', path, headers)
  t.strictSame(list.json(), {
    data: [shown],
    pagination: { per_page: 20, has_next: false, next_cursor: null },
  })
  const [row] = await app.database.db.select().from(apiKeys).where(eq(apiKeys.id, id))
  t.notOk(JSON.stringify(row).includes(key), 'what is stored is a hash')
  const recorded = await eventsOf(app, id)
  t.match(recorded, [
    {
      type: 'api_key.created',
      actor_type: 'user',
      actor_id: user_id,
      owner_id: user_id,
      changes: { name: [null, 'Nightly build'], expires_at: [null, nextYear] },
    },
  ])
  t.strictSame(Object.keys(recorded[0]?.changes ?? {}).sort(), ['expires_at', 'name', 'scopes'])
})

test('the list is walked by cursor, newest first, and holds nobody else’s', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  await aKey(app, (await aUser(app)).headers, { name: 'another’s' })
  for (let n = 1; n <= 5; n++) await aKey(app, headers, { name: `key ${n}` })
  const seen: string[] = []
  let query: string | null = '?per_page=2'
  while (query !== null) {
    const answer: { headers: { link?: unknown }; json(): Page } = await call(
      app,
      'GET',
      path + query,
      headers,
    )
    const { data, pagination } = answer.json()
    seen.push(...data.map(({ name }) => name))
    t.equal(String(answer.headers.link).includes('rel="next"'), pagination.has_next)
    query = pagination.next_cursor && `?per_page=2&cursor=${pagination.next_cursor}`
  }
  t.strictSame(seen, ['key 5', 'key 4', 'key 3', 'key 2', 'key 1'])
  t.match((await call(app, 'GET', `${path}?cursor=x`, headers)).json(), { code: 'invalid_cursor' })
  t.match((await call(app, 'GET', `${path}?per_page=0`, headers)).json(), { code: 'validation_failed' })
})

interface Page {
  data: { name: string }[]
  pagination: { has_next: boolean; next_cursor: string | null }
}

test('PATCH and PUT change what they name, and null takes the end away', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id, key, ...made } = await aKey(app, headers, { expires_at: nextYear })
  const url = `${path}/${id}`
  const renamed = await call(app, 'PATCH', url, headers, { name: 'Deploy' })
  t.equal(renamed.statusCode, 200, renamed.body)
  const { updated_at, ...rest } = renamed.json()
  t.not(updated_at, undefined)
  t.strictSame({ ...rest, updated_at: 0 }, { ...made, id, name: 'Deploy', updated_at: 0 })
  const put = await call(app, 'PUT', url, headers, { scopes: ['items:write'], expires_at: null })
  t.match(put.json(), { name: 'Deploy', scopes: ['items:write'], expires_at: null })
  for (const same of [{}, { name: 'Deploy' }, { scopes: ['items:write'], expires_at: null }]) {
    const unchanged = await call(app, 'PATCH', url, headers, same)
    t.strictSame(unchanged.json(), put.json(), 'nothing to change is no change')
  }
  for (const { body } of [renamed, put]) {
    t.notOk(body.includes(key))
    t.notMatch(body, /hash/)
  }
  t.strictSame((await eventsOf(app, id)).map(({ type, changes }) => [type, changes]).slice(1), [
    ['api_key.updated', { name: ['CI', 'Deploy'] }],
    ['api_key.updated', { scopes: [['items:read'], ['items:write']], expires_at: [nextYear, null] }],
  ])
})

test('of parallel changes each event shows what was really there before', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id } = await aKey(app, headers)
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  await Promise.all(names.map(name => call(app, 'PATCH', `${path}/${id}`, headers, { name })))
  const last = (await call(app, 'GET', `${path}/${id}`, headers)).json().name
  const [, ...changes] = await eventsOf(app, id)
  const left = changes.map(({ changes }) => changes.name?.[0])
  t.strictSame(left.sort(), ['CI', ...names.filter(name => name !== last)])
})

test('other scopes count from the very next request on', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id, key } = await aKey(app, headers)
  for (let round = 0; round < 5; round++) {
    t.equal(await statusWith(app, key), 200)
    await call(app, 'PATCH', `${path}/${id}`, headers, { scopes: ['items:write'] })
    t.equal(await statusWith(app, key), 403)
    await call(app, 'PATCH', `${path}/${id}`, headers, { scopes: ['items:write', 'items:read'] })
  }
})

test('what is not valid is 400', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id } = await aKey(app, headers)
  const bad: object[] = [
    { name: '' },
    { name: ' ' },
    { name: 'x'.repeat(101) },
    { name: null },
    { name: 5 },
    { scopes: [] },
    { scopes: ['items:read', 'items:read'] },
    { scopes: ['everything'] },
    { scopes: 'items:read' },
    { scopes: null },
    { expires_at: 'tomorrow' },
    { expires_at: '2099-11-21' },
    { expires_at: '2099-11-21T08:00:00+05' },
    { expires_at: '9999-12-31T23:59:59-23:59' },
    { expires_at: new Date().toISOString() },
    { expires_at: '2001-01-01T00:00:00Z' },
    { key_hash: 'x' },
    { last_used_at: null },
  ]
  for (const fields of bad) {
    for (const [method, url] of [
      ['POST', path],
      ['PATCH', `${path}/${id}`],
    ] as const) {
      const whole = method === 'POST' ? { name: 'CI', scopes: ['items:read'], ...fields } : fields
      const answer = await call(app, method, url, headers, whole)
      t.match(
        answer.json(),
        { status: 400, code: 'validation_failed' },
        `${method} ${JSON.stringify(fields)}`,
      )
    }
  }
  t.match((await call(app, 'POST', path, headers, { scopes: ['items:read'] })).json(), {
    errors: [{ in: 'body', pointer: '/name', code: 'required' }],
  })
  t.match(
    (await call(app, 'PATCH', `${path}/${id}`, headers, { expires_at: '2001-01-01T00:00:00Z' })).json(),
    {
      errors: [{ pointer: '/expires_at', message: 'must be a moment in the future' }],
    },
  )
  for (const overlap_seconds of [-1, 604_801, 1.5, '60', null]) {
    const answer = await call(app, 'POST', `${path}/${id}/rotate`, headers, { overlap_seconds })
    t.match(answer.json(), { status: 400, code: 'validation_failed' })
  }
  t.match((await call(app, 'GET', `${path}/x`, headers)).json(), { status: 400, code: 'validation_failed' })
  t.equal((await eventsOf(app, id)).length, 1, 'what was refused changed nothing')
})

test('a key is its owner’s business, signed in, and nobody else’s', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id, key } = await aKey(app, headers, { scopes: ['items:read', 'profile:read'] })
  const operations: [Method, string, object?][] = [
    ['GET', `${path}/${id}`],
    ['PATCH', `${path}/${id}`, { name: 'mine' }],
    ['PUT', `${path}/${id}`, { name: 'mine' }],
    ['POST', `${path}/${id}/rotate`],
    ['DELETE', `${path}/${id}`],
  ]
  for (const role of ['user', 'admin'] as const) {
    const other = await aUser(app, role)
    for (const [method, url, body] of operations) {
      const answer = await call(app, method, url, other.headers, body)
      t.match(answer.json(), { status: 404, code: 'not_found' }, `${method} ${url} by another ${role}`)
    }
  }
  const making = { name: 'CI', scopes: ['items:read'] }
  for (const [method, url, body] of [
    ...operations,
    ['GET', path],
    ['POST', path, making],
  ] as typeof operations) {
    t.match((await call(app, method, url, {}, body)).json(), { status: 401, code: 'unauthenticated' })
    const byKey = await call(app, method, url, bearer(key), body)
    t.match(byKey.json(), { status: 403, code: 'forbidden' }, `${method} ${url} by a key`)
  }
  t.equal((await eventsOf(app, id)).length, 1)
  t.equal(await statusWith(app, key), 200)
})

test('there may be fifty, also when many are made at once', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const full = Array.from({ length: 48 }, (_, n) => ({
    user_id,
    name: `key ${n}`,
    prefix: 'plk_',
    key_hash: Buffer.from(newId()),
    scopes: ['items:read' as const],
  }))
  await app.database.db.insert(apiKeys).values(full)
  const body = { name: 'one more', scopes: ['items:read'] }
  const answers = await Promise.all(Array.from({ length: 8 }, () => call(app, 'POST', path, headers, body)))
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [201, 201, 409, 409, 409, 409, 409, 409])
  t.match(answers.find(({ statusCode }) => statusCode === 409)?.json(), { code: 'conflict' })
  t.equal((await call(app, 'GET', `${path}?per_page=100`, headers)).json().data.length, 50)
  t.equal((await call(app, 'POST', path, (await aUser(app)).headers, body)).statusCode, 201, 'for each user')
  const made = answers.find(({ statusCode }) => statusCode === 201)?.json()
  await call(app, 'DELETE', `${path}/${made.id}`, headers)
  t.equal((await call(app, 'POST', path, headers, body)).statusCode, 201)
})

test('a key acts for its owner within its scopes, as Bearer and as X-API-Key', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app, 'editor')
  const { id, key } = await aKey(app, headers)
  for (const sent of [bearer(key), { 'x-api-key': key }] as Headers[]) {
    const answer = await call(app, 'GET', '/things', sent)
    t.equal(answer.statusCode, 200, answer.body)
    t.match(answer.headers, { 'cache-control': 'private, no-store' })
    const { user, actor } = answer.json()
    t.strictSame(user, {
      id: user_id,
      role: 'editor',
      tier: 'standard',
      email_verified: false,
      session_id: null,
      api_key_id: id,
      scopes: ['items:read'],
    })
    t.match(actor, { type: 'api_key', id, origin: { ip: '127.0.0.1' } })
    t.match((await call(app, 'POST', '/things', sent)).json(), { status: 403, code: 'insufficient_scope' })
    t.match((await call(app, 'GET', '/own', sent)).json(), { status: 403, code: 'forbidden' })
  }
  t.equal((await call(app, 'GET', '/things', headers)).statusCode, 200, 'a session needs no scope')
})

test('no key reaches what is for administrators, not even an administrator’s', async t => {
  const app = await open(t)
  const { headers } = await aUser(app, 'admin')
  const { key } = await aKey(app, headers)
  t.equal((await call(app, 'GET', '/administered', headers)).statusCode, 200)
  for (const url of ['/administered', '/api/v1/audit', '/api/v1/admin/jobs']) {
    t.match((await call(app, 'GET', url, bearer(key))).json(), { status: 403, code: 'forbidden' }, url)
  }
})

test('what is not a good key is 401', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id, key } = await aKey(app, headers)
  const unknown = 'plk_0000000000000000000000000000000000'
  for (const bad of [
    `${unknown}000000`,
    key.slice(0, -1),
    `${key}0`,
    key.slice(0, -1) + (key.endsWith('0') ? '1' : '0'),
    key.replace('plk_', 'PLK_'),
    'plk_',
    'nonsense',
  ]) {
    for (const sent of [bearer(bad), { 'x-api-key': bad }] as Headers[]) {
      const answer = await call(app, 'GET', '/things', sent)
      t.match(answer.json(), { status: 401, code: 'unauthenticated' }, bad)
      t.equal(answer.headers['www-authenticate'], 'Bearer')
    }
  }
  t.equal(await statusWith(app, key), 200)
  const revoked = await call(app, 'DELETE', `${path}/${id}`, headers)
  t.equal(revoked.statusCode, 204)
  t.equal(revoked.body, '')
  t.equal(await statusWith(app, key), 401, 'revoked, from the next request on')
  t.equal((await call(app, 'GET', `${path}/${id}`, headers)).statusCode, 404)
  t.equal((await call(app, 'DELETE', `${path}/${id}`, headers)).statusCode, 404)
  t.match(await eventsOf(app, id), [
    { type: 'api_key.created' },
    { type: 'api_key.revoked', changes: { name: ['CI', null], scopes: [['items:read'], null] } },
  ])
  t.equal((await eventsOf(app, id)).length, 2)
})

/** As time would. */
async function move(app: App, id: string, owner: string, to: Partial<typeof apiKeys.$inferInsert>) {
  await inTransaction(app.database.db, async tx => {
    await tx.update(apiKeys).set(to).where(eq(apiKeys.id, id))
    await app.accounts.principals.forget(tx, owner)
  })
}

const past = () => new Date(Date.now() - 1_000)

test('an expired key is refused, can be seen, and be given more time', async t => {
  const app = await open(t)
  const { id: owner, headers } = await aUser(app)
  const { id, key } = await aKey(app, headers, { expires_at: nextYear })
  t.equal(await statusWith(app, key), 200)
  await move(app, id, owner, { expires_at: past() })
  t.equal(await statusWith(app, key), 401)
  t.equal((await call(app, 'GET', path, headers)).json().data.length, 1)
  const rotated = await call(app, 'POST', `${path}/${id}/rotate`, headers)
  t.match(rotated.json(), { status: 409, code: 'conflict' }, 'the new one would be as dead')
  await call(app, 'PATCH', `${path}/${id}`, headers, { expires_at: nextYear })
  t.equal(await statusWith(app, key), 200)
})

test('a rotation replaces the key at once', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id, key, ...made } = await aKey(app, headers, { expires_at: nextYear })
  t.equal(await statusWith(app, key), 200)
  const rotated = await call(app, 'POST', `${path}/${id}/rotate`, headers)
  t.equal(rotated.statusCode, 200, rotated.body)
  const { key: next, updated_at, ...rest } = rotated.json()
  t.match(next, /^plk_[0-9A-Za-z]{40}$/)
  const same = { ...made, id, prefix: next.slice(0, 12), last_used_at: null, updated_at: 0 }
  t.strictSame({ ...rest, last_used_at: null, updated_at: 0 }, same)
  t.strictSame([await statusWith(app, key), await statusWith(app, next)], [401, 200])
  const shown = await call(app, 'GET', `${path}/${id}`, headers)
  t.notOk(shown.body.includes(next))
  t.match(await eventsOf(app, id), [{ type: 'api_key.created' }, { type: 'api_key.rotated', changes: {} }])
  t.equal((await eventsOf(app, id)).length, 2)
})

test('with an overlap the old key stays good for a while, and at most one does', async t => {
  const app = await open(t)
  const { id: owner, headers } = await aUser(app)
  const { id, key: first } = await aKey(app, headers)
  const rotate = async () =>
    (await call(app, 'POST', `${path}/${id}/rotate`, headers, { overlap_seconds: 3_600 })).json()
  const { key: second, previous_expires_at } = await rotate()
  const ends_in = Date.parse(previous_expires_at) - Date.now()
  t.ok(ends_in > 3_500_000 && ends_in <= 3_600_500, 'an hour from now')
  t.strictSame([await statusWith(app, first), await statusWith(app, second)], [200, 200])
  t.match((await call(app, 'GET', '/things', bearer(first))).json(), { actor: { type: 'api_key', id } })
  const { key: third } = await rotate()
  const all = () => Promise.all([first, second, third].map(key => statusWith(app, key)))
  t.strictSame(await all(), [401, 200, 200], 'a second rotation ends the oldest')
  await move(app, id, owner, { previous_expires_at: past() })
  t.strictSame(await all(), [401, 401, 200], 'when the time is over, the new one remains')
  const { key: fourth } = await rotate()
  const { key: fifth } = (await call(app, 'POST', `${path}/${id}/rotate`, headers, {})).json()
  t.strictSame(
    await Promise.all([third, fourth, fifth].map(key => statusWith(app, key))),
    [401, 401, 200],
    'one without an overlap ends both',
  )
  const { key: sixth } = await rotate()
  await call(app, 'DELETE', `${path}/${id}`, headers)
  t.strictSame([await statusWith(app, fifth), await statusWith(app, sixth)], [401, 401], 'both are revoked')
})

test('of parallel rotations each answers another key, and the last two are good', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id, key } = await aKey(app, headers)
  const answers = await Promise.all(
    Array.from({ length: 5 }, () =>
      call(app, 'POST', `${path}/${id}/rotate`, headers, { overlap_seconds: 60 }),
    ),
  )
  const keys = [key, ...answers.map(answer => answer.json().key as string)]
  t.equal(new Set(keys).size, 6)
  const statuses = await Promise.all(keys.map(one => statusWith(app, one)))
  t.strictSame(statuses.sort(), [200, 200, 401, 401, 401, 401])
})

test('the keys of a user who was deactivated or deleted are refused', async t => {
  const app = await open(t)
  const { db } = app.database
  const ends = {
    deactivated: (id: string) =>
      inTransaction(db, tx => changeUser(tx, app.accounts, system, id, { is_active: false })),
    deleted: (id: string) => inTransaction(db, tx => deleteUser(tx, app.accounts, system, id)),
    gone: (id: string) =>
      inTransaction(db, async tx => {
        await tx.delete(users).where(eq(users.id, id))
        await app.accounts.principals.forget(tx, id)
      }),
  }
  for (const [name, end] of Object.entries(ends)) {
    const { id, headers } = await aUser(app)
    const { key } = await aKey(app, headers)
    t.equal(await statusWith(app, key), 200)
    await end(id)
    t.equal(await statusWith(app, key), 401, name)
  }
})

test('when a key was last used is written down, within seconds', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { id, key } = await aKey(app, headers)
  const unused = await aKey(app, headers)
  await statusWith(app, key)
  const lastUsed = async (which: string) =>
    (await call(app, 'GET', `${path}/${which}`, headers)).json().last_used_at
  while ((await lastUsed(id)) === null);
  t.ok(Date.now() - Date.parse(await lastUsed(id)) < 60_000)
  t.equal(await lastUsed(unused.id), null)
})
