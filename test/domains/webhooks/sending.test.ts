import { eq } from 'drizzle-orm'
import { test } from 'tap'
import { webhookDeliveries, webhooks } from '../../../src/domains/webhooks/tables.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser } from '../../helper.ts'
import { isReplay } from '../../idempotency/effects.ts'
import { keyOf } from '../items/files.ts'
import {
  aWebhook,
  deliveriesOf,
  eventsAbout,
  eventTypes,
  type Headers,
  type Method,
  open,
  rowOf,
  send,
  withDeliveries,
} from './calls.ts'

const DELIVERY_FIELDS = [
  ...['attempts', 'created_at', 'id', 'next_attempt_at', 'request_id', 'status', 'type', 'webhook_id'],
]

test('disabled and enabled, by either way, once', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const path = `/${webhook.id}`
  const ways = {
    disable: [() => send(app, 'POST', `${path}/disable`, headers), { enabled: false }],
    enable: [() => send(app, 'POST', `${path}/enable`, headers), { enabled: true }],
    'disable by PATCH': [() => send(app, 'PATCH', path, headers, { enabled: false }), { enabled: false }],
    'enable by PUT': [() => send(app, 'PUT', path, headers, { enabled: true }), { enabled: true }],
  } as const
  let version = 1
  for (const [name, [call, { enabled }]] of Object.entries(ways)) {
    const answer = await call()
    const reason = enabled ? null : 'owner'
    const disabled_at = enabled ? null : /Z$/
    t.match(answer.json(), { enabled, disabled_reason: reason, disabled_at, version: ++version }, name)
    t.strictSame((await call()).json(), answer.json(), `${name}, again`)
    const recorded = await eventsAbout(app, webhook.id)
    t.equal(recorded.length, version)
    const type = enabled ? 'webhook.updated' : 'webhook.disabled'
    t.match(recorded.at(-1), { type, actor_type: 'user', actor_id: user_id, owner_id: user_id })
    const reasons = enabled ? ['owner', null] : [null, 'owner']
    t.strictSame(recorded.at(-1)?.changes, {
      enabled: [!enabled, enabled],
      disabled_reason: reasons,
      version: [version - 1, version],
    })
  }
  const both = { enabled: false, url: 'https://1.1.1.1/' }
  t.match((await send(app, 'PATCH', path, headers, both)).json(), both)
  t.match((await eventsAbout(app, webhook.id)).at(-1), {
    type: 'webhook.disabled',
    changes: { url: [webhook.url, both.url] },
  })
  t.match((await send(app, 'POST', `${path}/enable`, headers, { now: true })).json(), { status: 400 })
})

test('what the service has disabled stays so for its reason until it is enabled, and begins anew', async t => {
  const app = await open(t)
  const { db } = app.database
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const past = new Date(Date.now() - 60_000)
  const given = { enabled: false, disabled_reason: 'gone', disabled_at: past, failing_since: past } as const
  await db
    .update(webhooks)
    .set({ ...given, due_at: null })
    .where(eq(webhooks.id, webhook.id))
  const again = await send(app, 'POST', `/${webhook.id}/disable`, headers)
  t.match(again.json(), { disabled_reason: 'gone', disabled_at: past.toISOString(), version: 1 })
  const enabled = await send(app, 'POST', `/${webhook.id}/enable`, headers)
  t.match(enabled.json(), { enabled: true, disabled_reason: null, disabled_at: null, failing_since: null })
  t.ok((await rowOf(app, webhook.id)).due_at, 'what waited is sent')
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created', 'webhook.updated'])
})

test('what waits for a receiver that was mended, or moved, is sent at once', async t => {
  const app = await open(t)
  const { db } = app.database
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const url = `/${webhook.id}`
  const tomorrow = new Date(Date.now() + 86_400_000)
  const [id = ''] = await withDeliveries(app, webhook.id, ['pending'])
  const putOff = () => db.update(webhookDeliveries).set({ tries: 9, next_attempt_at: tomorrow })
  const isDue = async () => {
    const { next_attempt_at } = (await send(app, 'GET', `${url}/deliveries/${id}`, headers)).json()
    return new Date(next_attempt_at) <= new Date()
  }
  for (const [what, calls, due] of [
    ['enabled, which it was', [['POST', `${url}/enable`, undefined]], false],
    ['the same address', [['PATCH', url, { url: webhook.url }]], false],
    ['another description', [['PATCH', url, { description: 'x' }]], false],
    ['disabled', [['POST', `${url}/disable`, undefined]], false],
    ['enabled again', [['POST', `${url}/enable`, undefined]], true],
    ['another address', [['PATCH', url, { url: `${webhook.url}/moved` }]], true],
    ['a stale tag', [['PATCH', url, { url: webhook.url }, { 'if-match': `"${webhook.id}-1"` }]], false],
  ] as const) {
    await putOff()
    for (const [method, path, payload, more] of calls as unknown as [Method, string, object?, Headers?][])
      await send(app, method, path, { ...headers, ...more }, payload)
    t.equal(await isDue(), due, what)
  }
})

test('a ping waits like any other delivery, without an event', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const path = `/${webhook.id}`
  const ping = (request_id: string) =>
    send(app, 'POST', `${path}/ping`, { ...headers, 'x-request-id': request_id, 'idempotency-key': 'ping' })
  const answer = await ping('request-of-a-ping')
  t.equal(answer.statusCode, 202, answer.body)
  const delivery = answer.json()
  t.strictSame(Object.keys(delivery).sort(), DELIVERY_FIELDS)
  t.match(delivery, {
    ...{ webhook_id: webhook.id, type: 'webhook.ping', status: 'pending', attempts: [] },
    ...{ request_id: 'request-of-a-ping', next_attempt_at: /Z$/, created_at: /Z$/ },
  })
  isReplay(t, answer, await ping('another'))
  t.strictSame((await send(app, 'GET', `${path}/deliveries/${delivery.id}`, headers)).json(), delivery)
  t.strictSame((await send(app, 'GET', `${path}/deliveries`, headers)).json().data, [delivery])
  t.ok((await rowOf(app, webhook.id)).due_at)
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created'])
  const key = await keyOf(app, user_id, ['webhooks:write'])
  t.equal((await send(app, 'POST', `${path}/ping`, key)).statusCode, 202)
})

test('a delivery is sent again with what it was tried before', async t => {
  const app = await open(t)
  const { db } = app.database
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const ahead = new Date(Date.now() + 3_600_000)
  const attempt = { attempted_at: new Date().toISOString(), duration_ms: 7, response_status: 500 }
  const attempts = [{ ...attempt, response_body: 'no', error: 'The answer was 500, not 2xx.' }]
  const statuses = ['failed', 'succeeded', 'pending'] as const
  const ids = await withDeliveries(app, webhook.id, statuses, { attempts, tries: 9, request_id: 'r' })
  await db.update(webhooks).set({ due_at: ahead, paused_until: ahead }).where(eq(webhooks.id, webhook.id))
  for (const id of ids) {
    const answer = await send(app, 'POST', `/${webhook.id}/deliveries/${id.toUpperCase()}/replay`, headers)
    t.equal(answer.statusCode, 202, answer.body)
    t.strictSame(Object.keys(answer.json()).sort(), DELIVERY_FIELDS)
    t.match(answer.json(), { id, status: 'pending', attempts, type: 'item.created', request_id: 'r' })
  }
  for (const { tries, next_attempt_at } of await deliveriesOf(app, webhook.id)) {
    t.equal(tries, 0)
    t.ok(next_attempt_at && next_attempt_at < ahead)
  }
  const { due_at, paused_until } = await rowOf(app, webhook.id)
  t.ok(due_at && due_at < ahead, 'at once')
  t.equal(paused_until, null, 'whatever the receiver asked for')
  const absent = await send(app, 'POST', `/${webhook.id}/deliveries/${newId()}/replay`, headers)
  t.match(absent.json(), { status: 404, detail: 'The webhook has no such delivery.' })
  const { webhook: second } = await aWebhook(app, headers)
  const foreign = await send(app, 'POST', `/${second.id}/deliveries/${ids[0]}/replay`, headers)
  t.equal(foreign.statusCode, 404, 'of another webhook')
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created'])
})

test('to one that is disabled nothing is sent', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const [id = ''] = await withDeliveries(app, webhook.id, ['failed'])
  await send(app, 'POST', `/${webhook.id}/disable`, headers)
  const row = await rowOf(app, webhook.id)
  const before = await deliveriesOf(app, webhook.id)
  for (const [suffix, payload] of [
    ['ping'],
    [`deliveries/${id}/replay`],
    [`deliveries/${newId()}/replay`],
    ['replay', { from: '2026-01-01T00:00:00Z' }],
    ['replay', { from: '2026-01-01T00:00:00Z', failed_only: true }],
  ] as const) {
    const answer = await send(app, 'POST', `/${webhook.id}/${suffix}`, headers, payload)
    t.match(answer.json(), { status: 409, code: 'conflict', detail: /enable it first/ }, suffix)
  }
  t.strictSame(await rowOf(app, webhook.id), row)
  t.strictSame(await deliveriesOf(app, webhook.id), before)
})

test('deliveries are listed newest first, by status, and walked by cursor', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const [{ webhook }, { webhook: other }] = [await aWebhook(app, headers), await aWebhook(app, headers)]
  const statuses = ['failed', 'succeeded', 'pending', 'failed', 'succeeded', 'succeeded', 'failed'] as const
  const ids = (await withDeliveries(app, webhook.id, statuses)).reverse()
  await withDeliveries(app, other.id, ['failed'])
  const list = async (query: string) =>
    (await send(app, 'GET', `/${webhook.id}/deliveries${query}`, headers)).json()
  const walk = async (filter: string) => {
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { data, pagination } = await list(`?per_page=2${filter}${cursor && `&cursor=${cursor}`}`)
      seen.push(...data.map(({ id }: Headers) => id))
      cursor = pagination.next_cursor
    }
    return seen
  }
  t.strictSame(await walk(''), ids)
  for (const status of ['pending', 'succeeded', 'failed'] as const) {
    const expected = ids.filter((_id, index) => statuses.toReversed()[index] === status)
    t.strictSame(await walk(`&status=${status}`), expected, status)
  }
  t.match((await list('')).data[0], { webhook_id: webhook.id, status: 'failed', next_attempt_at: null })
  const read = await send(app, 'GET', `/${webhook.id}/deliveries/${ids[0]}`, headers)
  t.strictSame(read.json(), (await list('')).data[0])
  t.match(await list('?status=sent'), { status: 400, errors: [{ in: 'query', pointer: '/status' }] })
  t.match(await list('?cursor=x'), { status: 400, code: 'invalid_cursor' })
  const cursor = (await send(app, 'GET', '?per_page=1', headers)).json().pagination.next_cursor
  t.match(await list(`?cursor=${cursor}`), { status: 400, code: 'invalid_cursor' }, 'of another list')
  const absent = await send(app, 'GET', `/${other.id}/deliveries/${ids[0]}`, headers)
  t.match(absent.json(), { status: 404, detail: 'The webhook has no such delivery.' })
  t.equal((await send(app, 'GET', `/${webhook.id}/deliveries/x`, headers)).statusCode, 400)
})
