import { sql } from 'drizzle-orm'
import { test } from 'tap'
import type { App } from '../../../src/app.ts'
import { MOST_REPLAYED } from '../../../src/domains/webhooks/limits.ts'
import { firstIdAt } from '../../../src/lib/id.ts'
import { eventsAreFinal } from '../../database.ts'
import { aUser } from '../../helper.ts'
import { isReplay } from '../../idempotency/effects.ts'
import {
  aWebhook,
  deliveriesOf,
  eventsAbout,
  type Headers,
  open,
  rowOf,
  send,
  withDeliveries,
} from './calls.ts'

const HOUR_MS = 3_600_000
const DAY = Date.UTC(2026, 0, 5)

/** Each test has an hour of its own that day, so that none sees another's events. */
let hours = 0

interface Event {
  id: string
  at: string
}

/** Events of the past, a second apart, about what is this user's; final. */
async function happened(app: App, owner_id: string, types: readonly string[], hour = ++hours) {
  const { db } = app.database
  const made: Event[] = []
  for (const [second, type] of types.entries()) {
    const time = new Date(DAY + hour * HOUR_MS + second * 1_000)
    // The digits of the owner, so that two owners have two events at one time.
    const id = `${firstIdAt(time).slice(0, 24)}${owner_id.slice(24)}`
    await db.execute(sql`
      insert into events (id, type, actor_type, owner_id, subject_type, subject_id, request_id, changes, created_at)
      values (${id}, ${type}, 'user', ${owner_id}, 'item', ${owner_id}, 'planted', '{}', ${time.toISOString()})`)
    made.push({ id, at: time.toISOString() })
  }
  await eventsAreFinal(db)
  return made
}

const hourOf = (hour: number) => ({
  from: new Date(DAY + hour * HOUR_MS).toISOString(),
  to: new Date(DAY + (hour + 1) * HOUR_MS).toISOString(),
})

async function replayed(app: App, headers: Headers, id: string, payload: object) {
  const answer = await send(app, 'POST', `/${id}/replay`, headers, payload)
  if (answer.statusCode !== 202) throw new Error(answer.body)
  return answer.json().replayed as number
}

const idsOf = async (app: App, webhook_id: string) =>
  (await deliveriesOf(app, webhook_id)).map(({ id }) => id)

test('what happened before a webhook was made can be sent to it, from a moment until before another', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const happenings = await happened(app, user_id, [
    'item.created',
    'item.updated',
    'post.created',
    'item.deleted',
  ])
  const { webhook } = await aWebhook(app, headers)
  const [first, second, , last] = happenings
  t.equal(await replayed(app, headers, webhook.id, { from: second?.at, to: last?.at }), 2)
  const rows = await deliveriesOf(app, webhook.id)
  t.match(
    rows.map(({ id, type, status, tries, request_id }) => ({ id, type, status, tries, request_id })),
    happenings.slice(1, 3).map(({ id }) => ({ id, status: 'pending', tries: 0, request_id: 'planted' })),
  )
  t.ok(rows.every(({ next_attempt_at }) => next_attempt_at !== null))
  t.ok((await rowOf(app, webhook.id)).due_at)
  const offset = new Date(Date.parse(first?.at ?? '') + 5.5 * HOUR_MS).toISOString().replace('Z', '+05:30')
  t.equal(
    await replayed(app, headers, webhook.id, { from: offset }),
    5,
    'until now, with what made the webhook',
  )
  t.strictSame(
    (await idsOf(app, webhook.id)).slice(0, 4),
    happenings.map(({ id }) => id),
  )
  t.equal((await eventsAbout(app, webhook.id)).length, 1, 'of which there is no event')
})

test('only what the webhook would hear of', async t => {
  const app = await open(t)
  const [{ id: user_id, headers }, other, admin] = [
    await aUser(app),
    await aUser(app),
    await aUser(app, 'admin'),
  ]
  const types = [
    'item.created',
    'items.created',
    'post.created',
    'item.deleted',
    'api_key.made',
    'apixkey.made',
  ]
  const every = types.map((_type, index) => index)
  const own = await happened(app, user_id, types)
  const hour = hours
  const theirs = await happened(app, other.id, types, hour)
  const range = hourOf(hour)
  const ids = (events: Event[], ...which: number[]) => which.map(index => events[index]?.id)
  for (const [patterns, which] of [
    [['*'], every],
    [['api_key.*'], [4]],
    [['item.*'], [0, 3]],
    [['i*'], [0, 1, 3]],
    [
      ['item.created', 'post.*'],
      [0, 2],
    ],
    [['post.created', 'post.*', '*'], every],
    [['webhook.*'], []],
  ] as const) {
    const { webhook } = await aWebhook(app, headers, { types: patterns })
    t.equal(await replayed(app, headers, webhook.id, range), which.length, patterns.join())
    t.strictSame(await idsOf(app, webhook.id), ids(own, ...which), patterns.join())
  }
  const { webhook: all } = await aWebhook(app, admin.headers, { scope: 'all', types: ['item.*'] })
  t.equal(await replayed(app, admin.headers, all.id, range), 4)
  t.strictSame(await idsOf(app, all.id), [...ids(own, 0, 3), ...ids(theirs, 0, 3)].sort())
  const { webhook: narrow } = await aWebhook(app, admin.headers)
  t.equal(await replayed(app, admin.headers, narrow.id, range), 0, 'an administrator’s own are their own')

  await app.database.db.execute(sql`update users set role = 'user' where id = ${admin.id}`)
  const { webhook: late } = await aWebhook(app, headers)
  await app.database.db.execute(sql`update webhooks set scope = 'all' where id = ${late.id}`)
  t.equal(await replayed(app, headers, late.id, range), every.length, 'all is for administrators')
  t.strictSame(await idsOf(app, late.id), ids(own, ...every))
})

test('what was delivered is sent again, and of what failed alone only that', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const events = await happened(app, user_id, [
    'item.created',
    'item.updated',
    'item.deleted',
    'post.created',
  ])
  const { webhook } = await aWebhook(app, headers, { types: ['item.*'] })
  const range = hourOf(hours)
  const attempt = { attempted_at: events[0]?.at ?? '', duration_ms: 1, response_status: 500 }
  const attempts = [{ ...attempt, response_body: '', error: 'x' }]
  const stateOf = async () =>
    (await deliveriesOf(app, webhook.id)).map(({ status, tries }) => `${status} ${tries}`)
  for (const [index, status] of (['succeeded', 'failed', 'pending', 'failed'] as const).entries())
    await withDeliveries(app, webhook.id, [status], { id: events[index]?.id ?? '', attempts, tries: 3 })
  await withDeliveries(app, webhook.id, ['failed'], {
    type: 'webhook.ping',
    id: firstIdAt(new Date(range.from)),
  })
  await withDeliveries(app, webhook.id, ['failed'], { id: firstIdAt(new Date(range.to)) })
  const before = (await stateOf()).join()
  t.equal(before, 'failed 0,succeeded 3,failed 3,pending 3,failed 3,failed 0')

  t.equal(
    await replayed(app, headers, webhook.id, { ...range, failed_only: true }),
    3,
    'also what waits in vain',
  )
  t.equal((await stateOf()).join(), 'failed 0,succeeded 3,pending 0,pending 0,pending 0,failed 0')
  t.equal(await replayed(app, headers, webhook.id, { ...range, failed_only: true }), 0)
  t.equal(await replayed(app, headers, webhook.id, { ...range, failed_only: false }), 3)
  t.equal((await stateOf()).join(), 'failed 0,pending 0,pending 0,pending 0,pending 0,failed 0')
  t.strictSame((await deliveriesOf(app, webhook.id))[1]?.attempts, attempts, 'with what it was tried before')
})

test('the same key replays once', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  await happened(app, user_id, ['item.created'])
  const { webhook } = await aWebhook(app, headers)
  const keyed = { ...headers, 'idempotency-key': 'replay' }
  const replay = () => send(app, 'POST', `/${webhook.id}/replay`, keyed, hourOf(hours))
  const first = await replay()
  t.strictSame(first.json(), { replayed: 1 })
  await app.database.db.execute(sql`update webhook_deliveries set status = 'succeeded'`)
  isReplay(t, first, await replay())
  t.equal((await deliveriesOf(app, webhook.id))[0]?.status, 'succeeded')
})

test('more than may be at once are refused, and none of them sent', async t => {
  const app = await open(t)
  const { db } = app.database
  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const range = hourOf(++hours)
  const start = firstIdAt(new Date(range.from)).slice(0, 24)
  const add = (from: number, to: number) =>
    db.execute(sql`
      insert into events (id, type, actor_type, owner_id, subject_type, changes)
      select (${start} || lpad(n::text, 12, '0'))::uuid, 'item.created', 'user', ${user_id}, 'item', '{}'
      from generate_series(${from}::int, ${to}::int) as n`)
  await add(1, MOST_REPLAYED + 1)
  await eventsAreFinal(db)
  const row = await rowOf(app, webhook.id)
  const tooMany = {
    ...{ status: 400, code: 'validation_failed' },
    errors: [{ in: 'body', pointer: '/from', code: 'too_many', message: /10000 events/ }],
  }
  t.match((await send(app, 'POST', `/${webhook.id}/replay`, headers, range)).json(), tooMany)
  t.strictSame(await deliveriesOf(app, webhook.id), [])
  t.strictSame(await rowOf(app, webhook.id), row)

  await db.execute(sql`
    insert into webhook_deliveries (webhook_id, id, transaction_id, type, status)
    select ${webhook.id}, id, transaction_id, type, 'failed' from events
    where owner_id = ${user_id} and type = 'item.created'`)
  const failed = { ...range, failed_only: true }
  t.match((await send(app, 'POST', `/${webhook.id}/replay`, headers, failed)).json(), tooMany)
  const count = async (status: string) =>
    (await deliveriesOf(app, webhook.id)).filter(delivery => delivery.status === status).length
  t.equal(await count('failed'), MOST_REPLAYED + 1)
  await db.execute(sql`
    update webhook_deliveries set status = 'succeeded'
    where webhook_id = ${webhook.id} and id = (${start} || lpad('7', 12, '0'))::uuid`)
  t.equal(await replayed(app, headers, webhook.id, failed), MOST_REPLAYED)
  t.equal(await count('pending'), MOST_REPLAYED)
})

test('what is no range is refused', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const from = '2026-01-01T00:00:00Z'
  for (const [payload, pointer] of [
    [undefined, ''],
    [{}, '/from'],
    [{ to: from }, '/from'],
    [{ from, to: null }, '/to'],
    [{ from, to: from }, '/from'],
    [{ from, to: '2025-12-31T23:59:59Z' }, '/from'],
    [{ from: '2099-01-01T00:00:00Z' }, '/from'],
    [{ from, until: from }, '/until'],
    [{ from, failed_only: 'true' }, '/failed_only'],
    ...[
      null,
      5,
      '',
      'x',
      '2026-01-01',
      '2026-02-30T00:00:00Z',
      '2026-02-29T00:00:00Z',
      '2026-01-01T24:00:00Z',
    ].map(from => [{ from }, '/from'] as const),
    ...['2026-01-01T00:00:60Z', '0000-01-01T00:00:00Z', '2026-01-01T00:00:00', '10000-01-01T00:00:00Z'].map(
      to => [{ from, to }, '/to'] as const,
    ),
  ] as const) {
    const answer = await send(app, 'POST', `/${webhook.id}/replay`, headers, payload)
    t.match(answer.json(), { status: 400, errors: [{ in: 'body', pointer }] }, JSON.stringify(payload))
  }
  for (const range of [
    { from: '9999-12-31T23:59:59.999Z', to: '9999-12-31T23:59:59.999-15:59' },
    { from: '0001-01-01T00:00:00+15:59', to: '1969-12-31T23:59:59Z' },
    { from: '2026-01-01t00:00:00.123456789z', to: '2026-01-01T00:00:01Z' },
  ])
    t.equal(await replayed(app, headers, webhook.id, range), 0, 'any moment is one')
})
