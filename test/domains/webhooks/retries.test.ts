import { and, eq, sql } from 'drizzle-orm'
import { test } from 'tap'
import type { App } from '../../../src/app.ts'
import { firstRow } from '../../../src/db/rows.ts'
import { webhookDeliveries } from '../../../src/domains/webhooks/tables.ts'
import { eventsOf } from '../items/calls.ts'
import { eventTypes, rowOf, send } from './calls.ts'
import {
  ago,
  aTarget,
  attempted,
  change,
  deliver,
  happen,
  happenOnce,
  open,
  outcomeOf,
  until,
} from './delivering.ts'
import { type Answer, answerWith } from './receiver.ts'

const HOUR = 3_600
const WAITS = [5, 300, 1_800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]

/** Has the next attempt be due, as if the time had passed. */
async function pass(app: App, webhook: { id: string }, id: string) {
  await app.database.db
    .update(webhookDeliveries)
    .set({ next_attempt_at: ago(0) })
    .where(and(eq(webhookDeliveries.webhook_id, webhook.id), eq(webhookDeliveries.id, id)))
  await change(app, webhook, { due_at: ago(1) })
}

test('ten attempts, each after its wait, and the log tells of all; a replay begins anew', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { webhook, owner, receiver } = await outcomeOf(t, app, answerWith(500, {}, 'oh no'))
  for (const [index, least] of WAITS.entries()) {
    const { id, status, next_attempt_at, last } = await attempted(app, webhook, index + 1)
    t.equal(status, 'pending')
    const wait = (Number(next_attempt_at) - Date.parse(last?.attempted_at ?? '')) / 1000
    // What the attempt itself took is in it.
    t.ok(wait >= least - 0.01 && wait <= least * 1.1 + 5, `after attempt ${index + 1}: ${wait} s`)
    await pass(app, webhook, id)
  }
  const { id, ...delivery } = await attempted(app, webhook, 10)
  t.match(delivery, { status: 'failed', next_attempt_at: null, tries: 10 })
  for (const attempt of delivery.attempts) {
    t.match(attempt, {
      attempted_at: /Z$/,
      duration_ms: Number,
      response_status: 500,
      response_body: 'oh no',
      error: 'The answer was 500, not 2xx.',
    })
  }
  t.equal(new Set(receiver.received.map(message => message.id)).size, 1)

  const path = `/${webhook.id}/deliveries/${id}`
  const shown = await send(app, 'GET', path, owner.headers)
  t.strictSame(shown.json().attempts, delivery.attempts)
  t.equal((await send(app, 'POST', `${path}/replay`, owner.headers)).statusCode, 202)
  const again = await attempted(app, webhook, 11)
  t.match(again, { status: 'pending', tries: 1 })
  t.ok(Number(again.next_attempt_at) < Date.now() + 6_000, 'from the first wait on')
})

test('of many attempts the last twenty are kept', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { webhook, owner, delivery } = await outcomeOf(t, app, answerWith(500))
  const entry = { ...delivery.attempts[0], response_body: 'old' }
  const attempts = Array.from({ length: 20 }, () => entry) as typeof delivery.attempts
  await app.database.db
    .update(webhookDeliveries)
    .set({ attempts })
    .where(eq(webhookDeliveries.id, delivery.id))
  await send(app, 'POST', `/${webhook.id}/deliveries/${delivery.id}/replay`, owner.headers)
  const [after] = await until(app, webhook, ([first]) => first?.attempts.at(-1)?.response_body === '')
  t.equal(after?.attempts.length, 20)
})

test('a replay while the last attempt is under way begins anew, whatever comes of that', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { webhook, owner, receiver, delivery } = await outcomeOf(t, app, answerWith(500))
  let fail = () => {}
  receiver.answer = (request, response) => {
    fail = () => answerWith(500)(request, response)
  }
  await app.database.db
    .update(webhookDeliveries)
    .set({ tries: 9 })
    .where(eq(webhookDeliveries.id, delivery.id))
  await pass(app, webhook, delivery.id)
  await receiver.arrived(2)
  const replay = await send(app, 'POST', `/${webhook.id}/deliveries/${delivery.id}/replay`, owner.headers)
  t.equal(replay.statusCode, 202)
  receiver.answer = answerWith(204)
  fail()
  const { status, attempts } = await attempted(app, webhook, 3)
  t.equal(status, 'succeeded')
  t.strictSame(
    attempts.map(({ response_status }) => response_status),
    [500, 500, 204],
  )
})

const DAYS = 24 * HOUR

test('five days of nothing but failure disable it, and the owner is told', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { webhook, owner, delivery, receiver } = await outcomeOf(t, app, answerWith(500))
  const { failing_since } = await rowOf(app, webhook.id)
  t.ok(Math.abs(Number(failing_since) - Date.now()) < 10_000)

  await change(app, webhook, { failing_since: ago(4.9 * DAYS) })
  await pass(app, webhook, delivery.id)
  await attempted(app, webhook, 2)
  t.match(await rowOf(app, webhook.id), { enabled: true })

  await change(app, webhook, { failing_since: ago(5 * DAYS + 1) })
  await pass(app, webhook, delivery.id)
  const { status } = await attempted(app, webhook, 3)
  t.equal(status, 'pending', 'it goes on when it is enabled')
  t.match(await rowOf(app, webhook.id), { enabled: false, disabled_reason: 'failing' })
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created', 'webhook.disabled'])
  const mails = await firstRow<{ count: number }>(
    app.database.db,
    sql`select count(*)::int as count from pgboss.job where name = 'mail.send'`,
  )
  t.equal(mails?.count, 1)

  receiver.answer = answerWith(204)
  await send(app, 'POST', `/${webhook.id}/enable`, owner.headers)
  await pass(app, webhook, delivery.id)
  await until(app, webhook, list => list.length > 1 && list.every(each => each.status === 'succeeded'))
  t.match(await rowOf(app, webhook.id), { enabled: true, failing_since: null })
})

test('one success in between, and the five days begin anew', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const { webhook, owner, receiver, delivery } = await outcomeOf(t, app, answerWith(500))
  await change(app, webhook, { failing_since: ago(6 * DAYS) })
  receiver.answer = answerWith(204)
  await happen(app.database.db, owner.id)
  await until(app, webhook, ([, second]) => second?.status === 'succeeded')
  t.equal((await rowOf(app, webhook.id)).failing_since, null)
  receiver.answer = answerWith(500)
  await pass(app, webhook, delivery.id)
  await attempted(app, webhook, 2)
  const { enabled, failing_since } = await rowOf(app, webhook.id)
  t.ok(enabled)
  t.ok(Number(failing_since) > Date.now() - 10_000)
})

test('what its owner has disabled meanwhile is not disabled again', async t => {
  const app = await open(t)
  deliver(t, app.database)
  let gone = () => {}
  const { webhook, owner, receiver } = await aTarget(t, app, (request, response) => {
    gone = () => answerWith(410)(request, response)
  })
  await happen(app.database.db, owner.id)
  await receiver.arrived(1)
  await send(app, 'POST', `/${webhook.id}/disable`, owner.headers)
  gone()
  await attempted(app, webhook)
  t.match(await rowOf(app, webhook.id), { disabled_reason: 'owner' })
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created', 'webhook.disabled'])
  const mails = await firstRow<{ count: number }>(
    app.database.db,
    sql`select count(*)::int as count from pgboss.job where name = 'mail.send'`,
  )
  t.equal(mails?.count, 1, 'none besides that of the test before')
})

test('two hundred events of parallel writers arrive in their order', async t => {
  const app = await open(t)
  const { receiver, owner } = await aTarget(t, app)
  deliver(t, app.database)
  const writers = Array.from({ length: 8 }, (_, writer) =>
    happenAll(
      app,
      owner.id,
      Array.from({ length: 25 }, (_, number) => `${writer}-${number}`),
    ),
  )
  await Promise.all(writers)
  await receiver.arrived(200)
  t.strictSame(
    receiver.received.map(({ id }) => id),
    await idsInOrder(app, owner.id),
  )
})

async function happenAll(app: App, owner_id: string, titles: string[]) {
  for (const title of titles) await happenOnce(app.database.db, owner_id, title)
}

async function idsInOrder(app: App, owner_id: string) {
  const events = (await eventsOf(app, owner_id)).filter(({ type }) => type === 'item.created')
  return events
    .toSorted(
      (one, other) => Number(one.transaction_id - other.transaction_id) || (one.id < other.id ? -1 : 1),
    )
    .map(({ id }) => id)
}

test('one that fails comes later, and the others go on in their order', async t => {
  const app = await open(t)
  const refused = new Set<string>()
  const answer: Answer = (request, response, { id, body }) => {
    const fails = JSON.parse(body).data.changes.title[1] === '5' && !refused.has(id)
    if (fails) refused.add(id)
    answerWith(fails ? 500 : 204)(request, response)
  }
  const { receiver, owner, webhook } = await aTarget(t, app, answer)
  await happen(app.database.db, owner.id, 12)
  deliver(t, app.database)
  const list = await until(app, webhook, all => all.filter(each => each.status === 'succeeded').length === 11)
  const failed = list.find(({ status }) => status === 'pending')
  await pass(app, webhook, failed?.id ?? '')
  await receiver.arrived(13)
  const titles = receiver.received.map(({ body }) => Number(JSON.parse(body).data.changes.title[1]))
  t.strictSame(titles, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 5])
})
