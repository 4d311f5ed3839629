import { eq } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import { changeUser } from '../../../src/accounts/users.ts'
import type { App } from '../../../src/app.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser } from '../../helper.ts'
import { keyOf } from '../items/files.ts'
import {
  aWebhook,
  counted,
  eventsAbout,
  eventTypes,
  type Headers,
  open,
  rowOf,
  send,
  TARGET,
  withDeliveries,
} from './calls.ts'

// Who may do what to a webhook, and to which version of it.

/** Each way to change a webhook. */
const writes = [
  ['PATCH', '', { description: 'x' }],
  ['PUT', '', { description: 'y' }],
  ['POST', '/disable'],
  ['POST', '/enable'],
  ['POST', '/rotate-secret'],
  ['DELETE', ''],
] as const

test('a change can be tied to a version', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook, etag } = await aWebhook(app, headers)
  const { id } = webhook
  t.equal((await send(app, 'PATCH', `/${id}`, { ...headers, 'if-match': etag }, {})).statusCode, 200)
  t.equal((await send(app, 'PATCH', `/${id}`, headers, { description: 'a' })).statusCode, 200)
  const row = await rowOf(app, id)
  const stale = { status: 412, code: 'precondition_failed' }
  const { etag: others } = await aWebhook(app, headers)
  for (const condition of [
    { 'if-match': etag },
    { 'if-match': others },
    { 'if-match': '"x"' },
    { 'if-match': `"${id}-99999999999"` },
    { 'if-none-match': `"${id}-2"` },
    { 'if-none-match': '*' },
  ] as Headers[]) {
    for (const [method, suffix, payload] of writes) {
      const answer = await send(app, method, `/${id}${suffix}`, { ...headers, ...condition }, payload)
      t.match(answer.json(), stale, `${method} ${suffix} ${JSON.stringify(condition)}`)
    }
  }
  t.strictSame(await rowOf(app, id), row)
  const rubbish = await send(app, 'PATCH', `/${id}`, { ...headers, 'if-match': 'x' }, {})
  t.match(rubbish.json(), { status: 400, errors: [{ in: 'header', pointer: '/if-match' }] })
  const stranger = { ...(await aUser(app)).headers, 'if-match': etag }
  t.match((await send(app, 'PATCH', `/${id}`, stranger, {})).json(), { status: 404 })

  let version = 2
  for (const [method, suffix, payload] of writes) {
    const tied = { ...headers, 'if-match': `"x", "${id}-${version}"` }
    const capitals = id.toUpperCase()
    const answer = await send(app, method, `/${capitals}${suffix}`, tied, payload)
    t.ok(answer.statusCode < 300, `${method} ${suffix} ${answer.body}`)
    version++
  }
  t.equal((await eventsAbout(app, id)).length, version)
})

test('where versions have to be told, whoever tells none changes nothing', async t => {
  const app = await open(t, { variables: { REQUIRE_IF_MATCH: 'true' } })
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  for (const [method, suffix, payload] of writes) {
    const answer = await send(app, method, `/${webhook.id}${suffix}`, headers, payload)
    t.match(answer.json(), { status: 428, code: 'precondition_required' }, `${method} ${suffix}`)
  }
  t.match(await rowOf(app, webhook.id), { version: 1 })
})

test('of a hundred who change one version at once, one does', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook, etag } = await aWebhook(app, headers)
  const tied = { ...headers, 'if-match': etag }
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_none, number) =>
      send(app, 'PATCH', `/${webhook.id}`, tied, { description: `${number}` }),
    ),
  )
  t.strictSame(counted(answers), { 200: 1, 412: 99 })
  const winner = answers.find(({ statusCode }) => statusCode === 200)?.json()
  t.strictSame((await send(app, 'GET', `/${webhook.id}`, headers)).json(), winner)
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created', 'webhook.updated'])
})

test('a deleted webhook is gone, and its secrets with it', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const { id } = webhook
  const [delivery_id = ''] = await withDeliveries(app, id, ['pending'])
  await send(app, 'POST', `/${id}/rotate-secret`, headers)
  const answer = await send(app, 'DELETE', `/${id}`, headers)
  t.equal(answer.statusCode, 204)
  t.equal(answer.body, '')
  const row = await rowOf(app, id)
  t.match(row, { secret: null, previous_secret: null, due_at: null, version: 3 })
  t.ok(row.deleted_at instanceof Date)
  t.match((await eventsAbout(app, id)).at(-1), {
    ...{ type: 'webhook.deleted', owner_id: user_id },
    changes: { url: [TARGET, null], types: [['*'], null], enabled: [true, null], version: [2, null] },
  })
  await isOutOfReach(t, app, headers, id, delivery_id)
  t.strictSame((await send(app, 'GET', '', headers)).json().data, [])
  t.equal((await eventsAbout(app, id)).length, 3)
})

test('a webhook is its owner’s, and nobody else’s', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const [delivery_id = ''] = await withDeliveries(app, webhook.id, ['failed'])
  const row = await rowOf(app, webhook.id)
  for (const role of ['user', 'editor', 'admin'] as const) {
    const other = await aUser(app, role)
    await isOutOfReach(t, app, other.headers, webhook.id, delivery_id)
    t.strictSame((await send(app, 'GET', '', other.headers)).json().data, [])
  }
  await isOutOfReach(t, app, headers, newId(), delivery_id)
  t.strictSame(await rowOf(app, webhook.id), row)
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created'])
})

async function isOutOfReach(t: Test, app: App, headers: Headers, id: string, delivery_id: string) {
  const from = '2026-01-01T00:00:00Z'
  for (const [method, suffix, payload] of [
    ['GET', ''],
    ['GET', '/deliveries'],
    ['GET', `/deliveries/${delivery_id}`],
    ...writes,
    ['POST', '/ping'],
    ['POST', '/replay', { from }],
    ['POST', '/replay', { from, failed_only: true }],
    ['POST', `/deliveries/${delivery_id}/replay`],
  ] as const) {
    const answer = await send(app, method, `/${id}${suffix}`, headers, payload)
    const gone = { status: 404, code: 'not_found', detail: 'There is no such webhook.' }
    t.match(answer.json(), gone, `${method} ${suffix}`)
  }
}

test('an API key reads, or changes, what its scopes say, and acts for its owner', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const [reading, writing] = [
    await keyOf(app, user_id, ['webhooks:read']),
    await keyOf(app, user_id, ['webhooks:write']),
  ]
  t.equal((await send(app, 'GET', `/${webhook.id}`, reading)).statusCode, 200)
  t.equal((await send(app, 'GET', `/${webhook.id}`, writing)).json().code, 'insufficient_scope')
  const refused = await send(app, 'PATCH', `/${webhook.id}`, reading, { description: 'x' })
  t.equal(refused.json().code, 'insufficient_scope')
  const changed = await send(app, 'PATCH', `/${webhook.id}`, writing, { description: 'x' })
  t.equal(changed.statusCode, 200)
  t.match((await eventsAbout(app, webhook.id)).at(-1), { actor_type: 'api_key', owner_id: user_id })
  t.match((await aWebhook(app, writing)).webhook, { user_id })
})

const EVERYBODYS = { scope: 'all' }

test('only an administrator who is signed in hears of everybody', async t => {
  const app = await open(t)
  const admin = await aUser(app, 'admin')
  const { webhook } = await aWebhook(app, admin.headers, EVERYBODYS)
  t.equal(webhook.scope, 'all')
  const { webhook: own } = await aWebhook(app, admin.headers)
  const forbidden = { status: 403, code: 'forbidden' }
  const key = await keyOf(app, admin.id, ['webhooks:read', 'webhooks:write'])
  const callers = { key, user: (await aUser(app)).headers, editor: (await aUser(app, 'editor')).headers }
  for (const [name, headers] of Object.entries(callers)) {
    const mine = name === 'key' ? own : (await aWebhook(app, headers)).webhook
    t.match((await send(app, 'POST', '', headers, { url: TARGET, ...EVERYBODYS })).json(), forbidden, name)
    for (const method of ['PATCH', 'PUT'] as const)
      t.match((await send(app, method, `/${mine.id}`, headers, EVERYBODYS)).json(), forbidden, name)
    t.equal((await rowOf(app, mine.id)).scope, 'own')
  }
  const widened = await send(app, 'PATCH', `/${own.id}`, admin.headers, EVERYBODYS)
  t.match(widened.json(), { scope: 'all', version: 2 })
  t.strictSame((await eventsAbout(app, own.id)).at(-1)?.changes, { scope: ['own', 'all'], version: [1, 2] })
  const narrowed = await send(app, 'PUT', `/${own.id}`, admin.headers, { scope: 'own' })
  t.match(narrowed.json(), { scope: 'own', version: 3 })
})

test('no API key reaches what hears of everybody', async t => {
  const app = await open(t)
  const admin = await aUser(app, 'admin')
  const { webhook } = await aWebhook(app, admin.headers, EVERYBODYS)
  const { webhook: own } = await aWebhook(app, admin.headers)
  const [delivery_id = ''] = await withDeliveries(app, webhook.id, ['failed'])
  const key = await keyOf(app, admin.id, ['webhooks:read', 'webhooks:write'])
  const row = await rowOf(app, webhook.id)
  await isOutOfReach(t, app, key, webhook.id, delivery_id)
  t.strictSame(await rowOf(app, webhook.id), row)
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created'])
  const ids = async (headers: Headers) =>
    (await send(app, 'GET', '', headers)).json().data.map(({ id }: Headers) => id)
  t.strictSame(await ids(key), [own.id])
  t.strictSame(await ids(admin.headers), [own.id, webhook.id])
})

test('who is no administrator any more keeps the webhook, and can mend, narrow and delete it', async t => {
  const app = await open(t)
  const admin = await aUser(app, 'admin')
  await aUser(app, 'admin')
  const { webhook } = await aWebhook(app, admin.headers, EVERYBODYS)
  const { db } = app.database
  await inTransaction(db, tx => changeUser(tx, app.accounts, systemActor(), admin.id, { role: 'user' }))
  const [demoted] = await db.select({ role: users.role }).from(users).where(eq(users.id, admin.id))
  t.equal(demoted?.role, 'user')
  const ask = (method: 'GET' | 'PATCH' | 'DELETE', payload?: object) =>
    send(app, method, `/${webhook.id}`, admin.headers, payload)
  t.match((await ask('GET')).json(), { scope: 'all' })
  t.equal((await send(app, 'GET', '', admin.headers)).json().data.length, 1)
  t.match((await ask('PATCH', { description: 'x' })).json(), { description: 'x', scope: 'all' })
  t.match((await ask('PATCH', EVERYBODYS)).json(), { status: 403 })
  t.match((await ask('PATCH', { scope: 'own' })).json(), { scope: 'own' })
  t.match((await ask('PATCH', EVERYBODYS)).json(), { status: 403 })
  t.equal((await ask('DELETE')).statusCode, 204)
})
