import { eq, sql } from 'drizzle-orm'
import { test } from 'tap'
import { firstRow } from '../../../src/db/rows.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import type { Tx } from '../../../src/db/types.ts'
import { deleteItem, updateItem } from '../../../src/domains/items/service.ts'
import { items } from '../../../src/domains/items/tables.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { NO_PRECONDITION } from '../../../src/lib/precondition.ts'
import { serverUrl } from '../../database.ts'
import { aUser, build } from '../../helper.ts'
import { anItem, counted, etagOf, eventsAbout, type Headers, send, writes } from './calls.ts'

test('each change is recorded once, with what it changed', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const { id } = await anItem(app, headers, { title: 'Lamp', price: '12.5', metadata: { a: 1 } })
  let seen = 0
  /** The event that a call leaves, or null if there is none. */
  const leaves = async (method: 'POST' | 'PATCH' | 'PUT' | 'DELETE', suffix: string, payload?: object) => {
    const own = { ...headers, 'x-request-id': `call-${seen}` }
    const answer = await send(app, method, `/${id}${suffix}`, own, payload)
    t.ok(answer.statusCode < 300, `${method} ${suffix}`)
    const all = await eventsAbout(app, id)
    t.ok(all.length - seen <= 1, `${method} ${suffix}: one event at most`)
    const [event] = all.slice(seen)
    seen = all.length
    if (event === undefined) return null
    t.match(event, {
      subject_type: 'item',
      subject_id: id,
      owner_id: user_id,
      actor_type: 'user',
      actor_id: user_id,
      request_id: `call-${seen - 1}`,
    })
    const { version = [null, null], ...changes } = event.changes
    const [was, becomes] = version as (number | null)[]
    t.ok(was === null || becomes === null || becomes === Number(was) + 1, 'the version is one more')
    t.notSame(was, becomes)
    return { [event.type]: changes }
  }
  const [created] = await eventsAbout(app, id)
  seen = 1
  t.match(created, { type: 'item.created', owner_id: user_id, actor_id: user_id })
  const whole = {
    title: [null, 'Lamp'],
    status: [null, 'draft'],
    price: [null, '12.50'],
    metadata: [null, { a: 1 }],
    version: [null, 1],
  }
  t.strictSame(created?.changes, whole)

  t.strictSame(await leaves('PATCH', '', { title: 'Desk lamp', price: '12.50' }), {
    'item.updated': { title: ['Lamp', 'Desk lamp'] },
  })
  t.strictSame(await leaves('PATCH', '', { title: 'Desk lamp', price: 12.5, metadata: { a: 1 } }), null)
  t.strictSame(await leaves('PUT', '', {}), null)
  t.strictSame(await leaves('PUT', '', { description: 'x', price: 0, metadata: { b: [] } }), {
    'item.updated': { description: [null, 'x'], price: ['12.50', '0.00'], metadata: [{ a: 1 }, { b: [] }] },
  })
  t.strictSame(await leaves('PATCH', '', { description: null }), {
    'item.updated': { description: ['x', null] },
  })
  t.strictSame(await leaves('PATCH', '', { status: 'draft' }), null)
  t.strictSame(await leaves('PATCH', '', { status: 'published', title: 'Lamp' }), {
    'item.published': { status: ['draft', 'published'], title: ['Desk lamp', 'Lamp'] },
  })
  t.strictSame(await leaves('PATCH', '', { status: 'archived' }), {
    'item.archived': { status: ['published', 'archived'] },
  })
  t.strictSame(await leaves('PATCH', '', { status: 'draft' }), {
    'item.restored': { status: ['archived', 'draft'] },
  })
  t.strictSame(await leaves('POST', '/publish'), { 'item.published': { status: ['draft', 'published'] } })
  t.strictSame(await leaves('POST', '/publish'), null)
  t.strictSame(await leaves('PATCH', '', { status: 'draft' }), {
    'item.updated': { status: ['published', 'draft'] },
  })
  t.strictSame(await leaves('POST', '/archive'), { 'item.archived': { status: ['draft', 'archived'] } })
  t.strictSame(await leaves('POST', '/archive'), null)
  t.strictSame(await leaves('POST', '/restore'), { 'item.restored': { status: ['archived', 'draft'] } })
  t.strictSame(await leaves('POST', '/restore'), null)
  const state = { title: 'Lamp', status: 'draft', price: '0.00', metadata: { b: [] } }
  const gone = Object.fromEntries(Object.entries(state).map(([field, value]) => [field, [value, null]]))
  const back = Object.fromEntries(Object.entries(state).map(([field, value]) => [field, [null, value]]))
  t.strictSame(await leaves('DELETE', ''), { 'item.deleted': gone })
  t.strictSame(await leaves('POST', '/restore'), { 'item.restored': back })
})

test('an answer says which version it is, and each change makes it one more', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  let version = 1
  const is = async (method: 'GET' | 'POST' | 'PATCH' | 'PUT', suffix: string, payload?: object) => {
    const answer = await send(app, method, `/${id}${suffix}`, headers, payload)
    t.equal(answer.headers.etag, etagOf({ id, version }), `${method} ${suffix}`)
    t.equal(answer.json().version, version)
  }
  await is('GET', '')
  version++
  await is('PATCH', '', { title: 'a' })
  await is('PATCH', '', { title: 'a' })
  version++
  await is('PUT', '', { title: 'b' })
  version++
  await is('POST', '/publish')
  await is('POST', '/publish')
  version++
  await is('POST', '/archive')
  version++
  await is('POST', '/restore')
  await send(app, 'DELETE', `/${id}`, headers)
  version += 2
  await is('POST', '/restore')
  await is('GET', '')
  t.equal((await send(app, 'HEAD', `/${id}`, headers)).headers.etag, etagOf({ id, version }))
  t.match((await send(app, 'GET', '', headers)).headers.etag, /^"[\w-]{22}"$/, 'a list has no version')

  const had = { ...headers, 'if-none-match': etagOf({ id, version }) }
  const same = await send(app, 'GET', `/${id}`, had)
  t.equal(same.statusCode, 304)
  t.equal(same.body, '')
  t.equal(same.headers.etag, etagOf({ id, version }))
  await send(app, 'PATCH', `/${id}`, headers, { title: 'c' })
  t.match((await send(app, 'GET', `/${id}`, had)).json(), { title: 'c', version: version + 1 })
})

test('a change to another version is not made', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  const current = (await send(app, 'PATCH', `/${id}`, headers, { status: 'archived' })).json()
  const stale: Headers[] = [
    { 'if-match': etagOf({ id, version: 1 }) },
    { 'if-match': `W/${etagOf(current)}` },
    { 'if-match': etagOf({ id: newId(), version: 2 }) },
    { 'if-match': etagOf({ id, version: 99_999_999_999 }) },
    { 'if-none-match': etagOf(current) },
    { 'if-none-match': '*' },
  ]
  for (const condition of stale) {
    for (const [method, suffix, payload] of [...writes, ['PATCH', '', {}] as const]) {
      const answer = await send(app, method, `/${id}${suffix}`, { ...headers, ...condition }, payload)
      const name = `${method} ${suffix} ${JSON.stringify(condition)}`
      t.match(answer.json(), { status: 412, code: 'precondition_failed' }, name)
      t.notOk('etag' in answer.headers)
    }
  }
  t.strictSame((await send(app, 'GET', `/${id}`, headers)).json(), current)
  t.equal((await eventsAbout(app, id)).length, 2)

  let version = 2
  for (const [method, suffix, payload] of writes) {
    const tags = `${etagOf({ id, version: 1 })}, ${etagOf({ id, version })}`
    // What is archived is made a draft, so that each of these changes something.
    const answer = await send(app, method, `/${id}${suffix}`, { ...headers, 'if-match': tags }, payload)
    t.ok(answer.statusCode < 300, `${method} ${suffix} ${answer.body}`)
    if (method === 'DELETE') version++
    else version = answer.json().version
  }
  const restore = (at: number) =>
    send(app, 'POST', `/${id}/restore`, { ...headers, 'if-match': etagOf({ id, version: at }) })
  t.equal((await restore(version - 1)).statusCode, 412)
  t.equal((await restore(version)).json().version, version + 1)
  const any = { ...headers, 'if-match': '*' }
  t.equal((await send(app, 'DELETE', `/${id}`, any)).statusCode, 204)
})

test('where versions have to be told, whoever tells none changes nothing', async t => {
  const app = await build(t, { variables: { REQUIRE_IF_MATCH: 'true' } })
  const { headers } = await aUser(app)
  const item = await anItem(app, headers)
  for (const [method, suffix, payload] of writes) {
    if (suffix === '/restore') continue
    const answer = await send(app, method, `/${item.id}${suffix}`, headers, payload)
    t.match(answer.json(), { status: 428, code: 'precondition_required' }, `${method} ${suffix}`)
  }
  t.strictSame((await send(app, 'GET', `/${item.id}`, headers)).json(), item)
  const condition = { ...headers, 'if-match': etagOf(item) }
  t.equal((await send(app, 'DELETE', `/${item.id}`, condition)).statusCode, 204)
  const restored = await send(app, 'POST', `/${item.id}/restore`, headers)
  t.equal(restored.statusCode, 200, 'nobody can read the version of what is deleted')
})

const past: Record<string, string> = { publish: 'published', archive: 'archived', restore: 'restored' }

/** From which status, by which call, to which; null where there is nothing to be seen. */
const moves: [from: string, deleted: boolean, verb: string, to: string | null][] = [
  ['draft', false, 'publish', 'published'],
  ['draft', false, 'archive', 'archived'],
  ['draft', false, 'restore', 'draft'],
  ['published', false, 'publish', 'published'],
  ['published', false, 'archive', 'archived'],
  ['published', false, 'restore', 'published'],
  ['archived', false, 'publish', 'published'],
  ['archived', false, 'archive', 'archived'],
  ['archived', false, 'restore', 'draft'],
  ['draft', true, 'publish', null],
  ['draft', true, 'archive', null],
  ['draft', true, 'restore', 'draft'],
  ['published', true, 'publish', null],
  ['published', true, 'archive', null],
  ['published', true, 'restore', 'published'],
  ['archived', true, 'publish', null],
  ['archived', true, 'archive', null],
  ['archived', true, 'restore', 'draft'],
]

test('from each status to each other, and a second time nothing changes', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  for (const [from, deleted, verb, to] of moves) {
    const name = `${deleted ? 'deleted ' : ''}${from} ${verb}`
    const { id } = await anItem(app, headers, { status: from })
    if (deleted) await send(app, 'DELETE', `/${id}`, headers)
    const before = await eventsAbout(app, id)
    const answer = await send(app, 'POST', `/${id}/${verb}`, headers)
    const after = await eventsAbout(app, id)
    if (to === null) {
      t.equal(answer.statusCode, 404, name)
      t.equal(after.length, before.length, name)
      continue
    }
    const changes = deleted || from !== to
    t.equal(answer.statusCode, 200, name)
    t.equal(answer.json().status, to, name)
    t.equal(answer.json().version, before.length + Number(changes), name)
    const types = after.slice(before.length).map(({ type }) => type)
    t.strictSame(types, changes ? [`item.${past[verb]}`] : [], name)
    const again = await send(app, 'POST', `/${id}/${verb}`, headers)
    t.equal(again.statusCode, 200, name)
    t.strictSame(again.json(), answer.json(), `${name}, again`)
    t.strictSame((await send(app, 'GET', `/${id}`, headers)).json(), answer.json(), name)
    t.equal((await eventsAbout(app, id)).length, after.length, `${name}, again`)
  }
})

test('what is archived and deleted comes back as a draft, and that is recorded', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers, { status: 'archived', metadata: { a: 1 } })
  await send(app, 'DELETE', `/${id}`, headers)
  await send(app, 'POST', `/${id}/restore`, headers)
  const restored = (await eventsAbout(app, id)).at(-1)
  t.equal(restored?.type, 'item.restored')
  t.strictSame(restored?.changes, {
    title: [null, 'Lamp'],
    status: [null, 'draft'],
    price: [null, '0.00'],
    metadata: [null, { a: 1 }],
    version: [null, 3],
  })
})

test('a state is asked for with nothing', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  for (const verb of ['publish', 'archive', 'restore']) {
    const answer = await send(app, 'POST', `/${id}/${verb}`, headers, { status: 'draft' })
    t.match(answer.json(), { status: 400, errors: [{ pointer: '/status' }] }, verb)
    t.equal((await send(app, 'POST', `/${id}/${verb}`, headers, {})).statusCode, 200)
    t.equal((await send(app, 'GET', `/${id}/${verb}`, headers)).statusCode, 405)
  }
})

test('what is deleted stays for a while', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  await send(app, 'DELETE', `/${id}`, headers)
  const [row] = await app.database.db.select().from(items).where(eq(items.id, id))
  t.match(row, { version: 2, status: 'draft' })
  t.ok(row?.deleted_at instanceof Date)
})

const times = (count: number) => Array.from({ length: count }, (_none, index) => index)

test('of a hundred who change the same version, one does', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const item = await anItem(app, headers)
  const condition = { ...headers, 'if-match': etagOf(item) }
  const answers = await Promise.all(
    times(100).map(number => send(app, 'PATCH', `/${item.id}`, condition, { title: `${number}` })),
  )
  t.strictSame(counted(answers), { 200: 1, 412: 99 })
  const winner = answers.find(({ statusCode }) => statusCode === 200)
  t.strictSame((await send(app, 'GET', `/${item.id}`, headers)).json(), winner?.json())
  t.equal(winner?.json().version, 2)
  t.equal((await eventsAbout(app, item.id)).length, 2)
})

test('of those who suppose nothing, no change is lost', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  const answers = await Promise.all(
    times(30).map(number => send(app, 'PATCH', `/${id}`, headers, { title: `${number}` })),
  )
  const versions = answers.map(answer => answer.json().version).sort((a, b) => a - b)
  t.strictSame(
    versions,
    times(30).map(number => number + 2),
  )
  const [, ...updates] = await eventsAbout(app, id)
  t.equal(updates.length, 30)
  const titles = (side: 0 | 1) => updates.map(({ changes }) => changes.title?.[side])
  const { title } = (await send(app, 'GET', `/${id}`, headers)).json()
  t.strictSame([...titles(0), title].sort(), ['Lamp', ...titles(1)].sort(), 'each rests on another')
})

if (serverUrl !== undefined) {
  // On the embedded database, nobody is ever between another's reading and writing.
  test('who waits for another writer changes what that one has left', async t => {
    const app = await build(t)
    const { db } = app.database
    const { id: user_id, headers } = await aUser(app)
    const actor = systemActor()
    const remains = [
      ['PATCH', '', { title: 'Lamp' }, { title: 'Desk' }, { title: 'Lamp' }],
      ['POST', '/publish', undefined, { status: 'archived' }, { status: 'published' }],
      ['POST', '/restore', undefined, null, { title: 'Lamp' }],
    ] as const
    for (const [method, suffix, payload, meanwhile, expected] of remains) {
      const status = suffix === '/publish' ? 'published' : 'draft'
      const { id } = await anItem(app, headers, { status })
      const target = { id, owner_id: user_id, precondition: NO_PRECONDITION }
      let waiting: ReturnType<typeof send> | undefined
      await inTransaction(db, async tx => {
        await (meanwhile ? updateItem(tx, actor, target, meanwhile) : deleteItem(tx, actor, target))
        waiting = send(app, method, `/${id}${suffix}`, headers, payload)
        // Only who is sent has a promise that goes on.
        waiting.then(() => {})
        while ((await waitingForLocks(tx)) === 0);
      })
      t.match((await waiting)?.json(), { ...expected, version: 3 }, suffix || method)
      t.match((await send(app, 'GET', `/${id}`, headers)).json(), { ...expected, version: 3 })
      t.equal((await eventsAbout(app, id)).length, 3)
    }
  })
}

async function waitingForLocks(tx: Tx): Promise<number> {
  const waiting = sql`
    select count(*)::int as count from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`
  return (await firstRow<{ count: number }>(tx, waiting))?.count ?? 0
}

test('what many ask for at once is done, and recorded, once', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  let version = 1
  let recorded = 1
  for (const [method, suffix, expected] of [
    ['POST', '/publish', { 200: 20 }],
    ['POST', '/archive', { 200: 20 }],
    ['POST', '/restore', { 200: 20 }],
    ['DELETE', '', { 204: 1, 404: 19 }],
    ['POST', '/restore', { 200: 20 }],
  ] as const) {
    const answers = await Promise.all(times(20).map(() => send(app, method, `/${id}${suffix}`, headers)))
    t.strictSame(counted(answers), expected, `${method} ${suffix}`)
    version++
    recorded++
    for (const answer of answers) {
      if (answer.statusCode === 200) t.equal(answer.json().version, version, `${method} ${suffix}`)
    }
    t.equal((await eventsAbout(app, id)).length, recorded, `${method} ${suffix}`)
  }
})

test('a change and a deletion of the same version are never both done', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  for (const round of times(10)) {
    const item = await anItem(app, headers)
    const condition = { ...headers, 'if-match': etagOf(item) }
    const calls = [
      () => send(app, 'PATCH', `/${item.id}`, condition, { title: 'x' }),
      () => send(app, 'DELETE', `/${item.id}`, condition),
    ]
    const answers = await Promise.all((round % 2 ? calls : calls.reverse()).map(call => call()))
    const done = answers.filter(({ statusCode }) => statusCode < 300)
    t.equal(done.length, 1)
    for (const { statusCode } of answers) t.ok([200, 204, 404, 412].includes(statusCode), `${statusCode}`)
    t.equal((await eventsAbout(app, item.id)).length, 2)
  }
})
