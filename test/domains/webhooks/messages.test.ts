import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { eq } from 'drizzle-orm'
import { Webhook as Verifier } from 'standardwebhooks'
import { type Test, test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import { itemCreated } from '../../../src/domains/items/events.ts'
import { record } from '../../../src/events/record.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser, signedIn } from '../../helper.ts'
import { anItem } from '../items/calls.ts'
import { aWebhook, type Headers, rowOf, send } from './calls.ts'
import { ago, aTarget, attempted, change, deliver, happen, open, until } from './delivering.ts'
import { answerWith, aReceiver, type Received } from './receiver.ts'

const verify = (secret: string, { body, headers }: Received) =>
  new Verifier(secret).verify(body, headers) as { type: string; timestamp: string; data: { id: string } }

async function audited(app: App, admin: Headers, query: string) {
  const answer = await app.inject({ url: `/api/v1/audit?${query}`, headers: admin })
  return answer.json().data[0]
}

test('a message is what the library of Standard Webhooks verifies, and the event as the audit shows it', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { receiver, owner, webhook } = await aTarget(t, app)
  const headers = { ...owner.headers, 'x-request-id': 'from-the-client' }
  const item = await anItem(app, headers, { title: 'Lämpchen ☀' })
  const [message] = (await receiver.arrived(1)) as [Received]
  const event = await audited(app, await signedIn(app), `subject_id=${item.id}`)
  t.strictSame(verify(webhook.secret, message), {
    type: 'item.created',
    timestamp: event.created_at,
    data: event,
  })
  t.equal(event.ip, '127.0.0.1')
  t.match(message.headers, {
    'webhook-id': event.id,
    'content-type': 'application/json',
    'user-agent': /^Plinth\/\d/,
    'x-request-id': 'from-the-client',
  })
  t.throws(() => verify(webhook.secret, { ...message, body: message.body.replace('item', 'post') }))
  t.throws(() =>
    verify(webhook.secret, { ...message, headers: { ...message.headers, 'webhook-id': newId() } }),
  )
  const { last, request_id, status } = await attempted(app, webhook)
  t.match({ status, request_id }, { status: 'succeeded', request_id: 'from-the-client' })
  t.match(last, { response_status: 204, response_body: '', error: null })
})

test('at each attempt, and each replay, the id is the same and the time that of the attempt', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const answers = [500, 204, 204]
  const { receiver, owner, webhook } = await aTarget(t, app, (request, response) =>
    answerWith(answers.shift() ?? 500)(request, response),
  )
  await happen(app.database.db, owner.id)
  const { id } = await attempted(app, webhook)
  const replay = () => send(app, 'POST', `/${webhook.id}/deliveries/${id}/replay`, owner.headers)
  t.equal((await replay()).statusCode, 202)
  await attempted(app, webhook, 2)
  t.equal((await replay()).statusCode, 202)
  const { attempts } = await attempted(app, webhook, 3)
  t.strictSame(
    receiver.received.map(({ headers }) => headers['webhook-id']),
    [id, id, id],
  )
  t.strictSame(new Set(receiver.received.map(({ body }) => body)).size, 1)
  for (const [index, message] of receiver.received.entries()) {
    verify(webhook.secret, message)
    const late =
      Number(message.headers['webhook-timestamp']) - Date.parse(attempts[index]?.attempted_at ?? '') / 1000
    t.ok(late > -1 && late < 2, `attempt ${index + 1}: ${late} s`)
  }
})

test('where somebody else acted, the owner does not see from where; an administrator who hears of all does', async t => {
  const app = await open(t)
  const [own, all] = [await aReceiver(t), await aReceiver(t)]
  const owner = await aUser(app)
  const admin = await aUser(app, 'admin')
  await aWebhook(app, owner.headers, { url: own.url, types: ['user.*'] })
  await aWebhook(app, admin.headers, { url: all.url, types: ['user.updated'], scope: 'all' })
  deliver(t, app.database)
  const answer = await app.inject({
    method: 'PATCH',
    url: `/api/v1/users/${owner.id}`,
    headers: { ...admin.headers, 'user-agent': 'curl' },
    payload: { first_name: 'Grace' },
  })
  t.equal(answer.statusCode, 200, answer.body)
  const [[hidden], [shown]] = [await own.arrived(1), await all.arrived(1)]
  const event = await audited(app, admin.headers, `subject_id=${owner.id}&type=user.updated`)
  t.match(event, { ip: '127.0.0.1', user_agent: 'curl', actor: { id: admin.id } })
  t.strictSame(JSON.parse(shown?.body ?? '').data, event)
  t.strictSame(JSON.parse(hidden?.body ?? '').data, { ...event, ip: null, user_agent: null })
})

test('for a day after a rotation each message has two signatures, then one', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { receiver, owner, webhook } = await aTarget(t, app)
  const rotated = await send(app, 'POST', `/${webhook.id}/rotate-secret`, owner.headers)
  const { secret } = rotated.json()
  await happen(app.database.db, owner.id)
  const arrivedBefore = (await receiver.arrived(2)).slice()
  for (const message of arrivedBefore) {
    t.equal(message.headers['webhook-signature']?.split(' ').length, 2)
    t.ok(verify(secret, message))
    t.ok(verify(webhook.secret, message))
  }
  await change(app, webhook, { previous_secret_expires_at: ago(1) })
  await happen(app.database.db, owner.id)
  const message = (await receiver.arrived(3))[2] as Received
  t.equal(message.headers['webhook-signature']?.split(' ').length, 1)
  t.ok(verify(secret, message))
  t.throws(() => verify(webhook.secret, message))
})

test('with a new key of the service, secrets are read by the previous one, and without it not', async t => {
  const app = await open(t)
  const { receiver, owner, webhook } = await aTarget(t, app)
  const JWT_SECRET_KEY = 'another one for tests, as long as 32 characters'
  const JWT_SECRET_KEY_PREVIOUS = app.accounts.config.JWT_SECRET_KEY ?? ''
  const careful = deliver(t, app.database, {}, { JWT_SECRET_KEY, JWT_SECRET_KEY_PREVIOUS })
  await happen(app.database.db, owner.id)
  const [message] = (await receiver.arrived(1)) as [Received]
  t.ok(verify(webhook.secret, message))
  await attempted(app, webhook)
  await careful.stop(1_000)
  deliver(t, app.database, {}, { JWT_SECRET_KEY })
  await happen(app.database.db, owner.id)
  const [, second] = await until(app, webhook, deliveries => deliveries[1]?.attempts.length === 1)
  t.match(second, {
    status: 'pending',
    attempts: [{ response_status: null, error: 'The secret cannot be read any more: rotate it.' }],
  })
  t.equal(receiver.received.length, 1)
})

const aboutTo = async (t: Test, app: App, types: string[], role: 'user' | 'admin', scope: 'own' | 'all') => {
  const receiver = await aReceiver(t)
  const owner = await aUser(app, role)
  const { webhook } = await aWebhook(app, owner.headers, { url: receiver.url, types, scope })
  return { receiver, owner, webhook }
}

test('a webhook hears of the types and the owners that it asks for, from when it was made', async t => {
  const app = await open(t)
  const { db } = app.database
  const owner = await aUser(app)
  await happen(db, owner.id)
  const receivers: Awaited<ReturnType<typeof aReceiver>>[] = []
  for (const types of [['item.*'], ['item.created', 'post.created'], ['post.*'], ['*'], ['item.creat*']]) {
    const receiver = await aReceiver(t)
    await aWebhook(app, owner.headers, { url: receiver.url, types })
    receivers.push(receiver)
  }
  const everybody = await aboutTo(t, app, ['item.*'], 'admin', 'all')
  const stranger = await aboutTo(t, app, ['item.*'], 'admin', 'own')
  const item = await anItem(app, owner.headers)
  await app.inject({ method: 'DELETE', url: `/api/v1/items/${item.id}`, headers: owner.headers })
  await app.inject({
    method: 'POST',
    url: '/api/v1/posts',
    headers: owner.headers,
    payload: { title: 'Last', content: 'Words' },
  })
  deliver(t, app.database)
  const expected = [
    ['item.created', 'item.deleted'],
    ['item.created', 'post.created'],
    ['post.created'],
    // Of those that were made after it, it hears as well; not of itself.
    undefined,
    ['item.created'],
  ]
  for (const [index, types] of expected.entries()) {
    const receiver = receivers[index] as Awaited<ReturnType<typeof aReceiver>>
    if (types === undefined) continue
    await receiver.arrived(types.length)
    t.strictSame(receiver.received.map(typeOf), types)
  }
  await everybody.receiver.arrived(2)
  t.strictSame(everybody.receiver.received.map(typeOf), ['item.created', 'item.deleted'])
  const rest = (await receivers[3]?.arrived(4)) ?? []
  t.strictSame(
    rest.map(typeOf).filter(type => !type.startsWith('webhook.')),
    ['item.created', 'item.deleted', 'post.created'],
  )
  t.strictSame(stranger.receiver.received, [])
})

const typeOf = ({ body }: Received): string => JSON.parse(body).type

test('a webhook hears of others that are made, but not of its own creation', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { receiver, owner, webhook } = await aTarget(t, app)
  const second = await aWebhook(app, owner.headers, { url: receiver.url, types: ['item.*'] })
  const [message] = (await receiver.arrived(1)) as [Received]
  t.match(JSON.parse(message.body), { type: 'webhook.created', data: { subject: { id: second.webhook.id } } })
  const [only] = await until(app, webhook, deliveries => deliveries.length > 0)
  t.equal(only?.id, message.id)
  t.notMatch(message.body, /whsec_|secret/)
})

test('of who is no administrator any more, what is not theirs is not sent, nor what waited', async t => {
  const app = await open(t)
  const { db } = app.database
  const admin = await aboutTo(t, app, ['item.*'], 'admin', 'all')
  const other = await aUser(app)
  admin.receiver.answer = answerWith(500)
  deliver(t, app.database)
  await happen(db, other.id)
  const { id } = await attempted(app, admin.webhook)
  await db.update(users).set({ role: 'user' }).where(eq(users.id, admin.owner.id))
  await send(app, 'POST', `/${admin.webhook.id}/deliveries/${id}/replay`, admin.owner.headers)
  const { last } = await attempted(app, admin.webhook, 2)
  t.match(last, { error: /not yours to see/ })
  await happen(db, other.id)
  admin.receiver.answer = answerWith(204)
  await happen(db, admin.owner.id)
  await admin.receiver.arrived(2)
  t.equal(JSON.parse(admin.receiver.received[1]?.body ?? '').data.owner_id, admin.owner.id)
  t.match(await rowOf(app, admin.webhook.id), { enabled: true, scope: 'all' })
})

test('a ping is sent once, and tells of nothing but the webhook', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { receiver, owner, webhook } = await aTarget(t, app, answerWith(500))
  const answer = await send(app, 'POST', `/${webhook.id}/ping`, { ...owner.headers, 'x-request-id': 'p-1' })
  t.equal(answer.statusCode, 202)
  const { status, next_attempt_at } = await attempted(app, webhook)
  t.match({ status, next_attempt_at }, { status: 'failed', next_attempt_at: null })
  const [message] = receiver.received as [Received]
  t.match(verify(webhook.secret, message), { type: 'webhook.ping', data: { webhook_id: webhook.id } })
  t.match(message, { id: answer.json().id, headers: { 'x-request-id': 'p-1' } })
})

/** An event whose title has so many characters, by its owner. */
async function happenAtLength({ database: { db } }: App, owner_id: string, length: number) {
  const actor = {
    type: 'user' as const,
    id: owner_id,
    origin: { request_id: null, ip: null, user_agent: null },
  }
  const after = { title: 'x'.repeat(length) }
  await inTransaction(db, tx => record(tx, actor, itemCreated, { subject_id: newId(), owner_id, after }))
  return after
}

test('an event of half a megabyte arrives whole', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { receiver, owner, webhook } = await aTarget(t, app)
  const after = await happenAtLength(app, owner.id, 500_000)
  const [message] = (await receiver.arrived(1)) as [Received]
  t.match(verify(webhook.secret, message), { data: { changes: { title: [null, after.title] } } })
})

test('who takes long over large events does not fill the memory of objects', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { receiver, owner } = await aTarget(t, app, () => {}, { types: ['item.*'] })
  const fields = { url: receiver.url, types: ['item.*'] }
  for (let count = 1; count < 20; count++) await aWebhook(app, owner.headers, fields)
  const before = heapUsed()
  await happenAtLength(app, owner.id, 1_000_000)
  await receiver.arrived(20)
  receiver.received.length = 0
  const grown = Math.round((heapUsed() - before) / 1e6)
  t.ok(grown < 10, `${grown} MB`)
})

function heapUsed(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}
