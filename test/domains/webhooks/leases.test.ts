import { eq, sql } from 'drizzle-orm'
import { test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import { connectPostgres } from '../../../src/db/postgres.ts'
import { firstRow } from '../../../src/db/rows.ts'
import type { Db } from '../../../src/db/types.ts'
import {
  claimWebhooks,
  nextDelivery,
  releaseWebhook,
  renewLeases,
  storeOutcome,
} from '../../../src/domains/webhooks/delivery/leases.ts'
import { newId } from '../../../src/lib/id.ts'
import { createServerDatabase, serverUrl } from '../../database.ts'
import { build, testConfig } from '../../helper.ts'
import { deliveriesOf, rowOf, send } from './calls.ts'
import { ago, aTarget, change, deliver, happen, noteAll, until, waiting } from './delivering.ts'
import { answerWith } from './receiver.ts'

const holder = () => ({ lease: newId(), lease_ms: 60_000 })
const MOST = { healthy: 100, failing: 100 }

const SUCCESS = {
  status: 'succeeded',
  wait_seconds: null,
  pause_seconds: null,
  attempt: {
    attempted_at: new Date().toISOString(),
    duration_ms: 1,
    response_status: 200,
    response_body: '',
    error: null,
  },
} as const

test('a webhook belongs to one at a time, and to another when the first has died', async t => {
  const { app, db, webhook } = await waiting(t)
  const [dead, next] = [holder(), holder()]
  t.match(await claimWebhooks(db, dead, MOST), [{ id: webhook.id, failing: false }])
  t.equal((await claimWebhooks(db, next, MOST)).length, 0)
  const delivery = await nextDelivery(db, dead, webhook.id)
  t.equal(await nextDelivery(db, next, webhook.id), undefined)
  await change(app, webhook, { leased_until: ago(1) })
  t.match(await claimWebhooks(db, next, MOST), [{ id: webhook.id }])

  if (delivery === undefined) throw new Error('It has one.')
  await storeOutcome(db, dead, delivery, SUCCESS)
  await renewLeases(db, { ...dead, lease_ms: 900_000 }, [webhook.id])
  await releaseWebhook(db, dead, webhook.id)
  t.match(
    await deliveriesOf(app, webhook.id),
    [{ status: 'pending', attempts: [] }],
    'who comes late stores nothing',
  )
  t.match(await rowOf(app, webhook.id), { lease: next.lease })
  t.equal(await nextDelivery(db, dead, webhook.id), undefined)
  await storeOutcome(db, next, delivery, SUCCESS)
  await releaseWebhook(db, next, webhook.id)
  t.match(await rowOf(app, webhook.id), { lease: null, leased_until: null, due_at: null })
})

test('what is added while it is being sent to is not forgotten', async t => {
  const { db, owner, webhook } = await waiting(t)
  const mine = holder()
  await claimWebhooks(db, mine, MOST)
  const delivery = await nextDelivery(db, mine, webhook.id)
  if (delivery === undefined) throw new Error('It has one.')
  await storeOutcome(db, mine, delivery, SUCCESS)
  t.equal(await nextDelivery(db, mine, webhook.id), undefined)
  await happen(db, owner.id)
  await noteAll(db)
  await releaseWebhook(db, mine, webhook.id)
  t.match(await claimWebhooks(db, mine, MOST), [{ id: webhook.id }])
})

test('what has waited long stands behind what others wait for, once it had its turn', async t => {
  const { app, db, webhook } = await waiting(t, 2)
  const mine = holder()
  await db.execute(sql`update webhook_deliveries set next_attempt_at = now() - interval '1 hour'`)
  await claimWebhooks(db, mine, MOST)
  await releaseWebhook(db, mine, webhook.id)
  const { due_at } = await rowOf(app, webhook.id)
  t.ok(Number(due_at) > Date.now() - 10_000)
})

test('of who is taken over while a receiver asks for silence, nothing is sent', async t => {
  const { app, db, webhook } = await waiting(t)
  const mine = holder()
  await claimWebhooks(db, holder(), MOST)
  const paused_until = new Date(Date.now() + 60_000)
  await change(app, webhook, { leased_until: ago(1), paused_until })
  t.equal((await claimWebhooks(db, mine, MOST)).length, 1)
  t.equal(await nextDelivery(db, mine, webhook.id), undefined)
  await releaseWebhook(db, mine, webhook.id)
  t.strictSame((await rowOf(app, webhook.id)).due_at, paused_until)
})

test('a deliverer that is started after one that died goes on where that was', async t => {
  const { app, db, database, webhook, receiver } = await waiting(t, 3)
  await claimWebhooks(db, holder(), MOST)
  await change(app, webhook, { leased_until: ago(1) })
  deliver(t, database)
  await receiver.arrived(3)
  const list = await until(app, webhook, all => all.every(({ status }) => status === 'succeeded'))
  t.equal(list.length, 3)
})

const HOLDERS = [
  ['disabled', { webhook: { enabled: false, disabled_reason: 'owner' } }],
  ['deleted', { webhook: { deleted_at: new Date() } }],
  ['of somebody deactivated', { user: { is_active: false } }],
  ['of somebody deleted', { user: { deleted_at: new Date() } }],
] as const

for (const [what, { webhook: fields, user }] of HOLDERS.map(
  ([name, rows]) => [name, rows as Rows] as const,
)) {
  test(`to a webhook that is ${what} nothing is sent, nor is anything noted`, async t => {
    const { app, db, owner, webhook } = await waiting(t)
    const mine = holder()
    if (fields) await change(app, webhook, fields)
    if (user) await db.update(users).set(user).where(eq(users.id, owner.id))
    t.equal((await claimWebhooks(db, mine, MOST)).length, 0)
    await change(app, webhook, { lease: mine.lease, leased_until: new Date(Date.now() + 60_000) })
    t.equal(await nextDelivery(db, mine, webhook.id), undefined, 'nor by who was about to')
    await releaseWebhook(db, mine, webhook.id)
    await happen(db, owner.id)
    await noteAll(db)
    t.equal((await deliveriesOf(app, webhook.id)).length, 1)

    if (fields?.deleted_at) return
    if (fields) await send(app, 'POST', `/${webhook.id}/enable`, owner.headers)
    if (user) await db.update(users).set({ is_active: true, deleted_at: null }).where(eq(users.id, owner.id))
    t.match(await claimWebhooks(db, mine, MOST), [{ id: webhook.id }], 'what waited goes on')
  })
}

interface Rows {
  webhook?: Parameters<typeof change>[2]
  user?: Partial<typeof users.$inferInsert>
}

test('told to stop, it finishes what it can and gives back the rest, which another one sends at once', async t => {
  const { app, database, webhook, receiver } = await waiting(t, 3)
  const answers: (() => void)[] = []
  receiver.answer = (request, response) => answers.push(() => answerWith(204)(request, response))
  const first = deliver(t, database)
  await receiver.arrived(1)
  const stopped = first.stop(10_000)
  answers[0]?.()
  await stopped
  const statuses = async () => (await deliveriesOf(app, webhook.id)).map(({ status }) => status)
  t.strictSame(await statuses(), ['succeeded', 'pending', 'pending'])
  t.match(await rowOf(app, webhook.id), { lease: null, due_at: Date })

  const second = deliver(t, database)
  await receiver.arrived(2)
  await second.stop(50)
  t.match((await deliveriesOf(app, webhook.id))[1], { status: 'pending', tries: 0, attempts: [] })
  t.match(await rowOf(app, webhook.id), { lease: null, failing_since: null })

  receiver.answer = answerWith(204)
  deliver(t, database)
  await receiver.arrived(4)
  await until(app, webhook, all => all.every(({ status }) => status === 'succeeded'))
  const [one, two, again, three] = receiver.received.map(({ id }) => id)
  t.equal(two, again)
  t.equal(new Set([one, two, three]).size, 3)
})

// Two processes need two connections.
if (serverUrl !== undefined) {
  test('two deliverers, and nothing is sent twice or out of order', async t => {
    const url = await createServerDatabase(t)
    const databases = [1, 2].map(() => connectPostgres(url, testConfig()))
    for (const database of databases) t.teardown(() => database.close())
    const [one, two] = databases as [(typeof databases)[0], (typeof databases)[0]]
    const app = await build(t, { database: one, variables: { WEBHOOK_ALLOW_PRIVATE: 'true' } })
    const targets = await Promise.all(Array.from({ length: 5 }, () => aTarget(t, app)))
    for (const database of [one, two]) deliver(t, database)
    await Promise.all(targets.map(({ owner }) => happen(two.db, owner.id, 30)))
    for (const { receiver, webhook } of targets) {
      const list = await until(
        app,
        webhook,
        all => all.length === 30 && all.every(({ status }) => status === 'succeeded'),
      )
      t.equal(list.length, 30)
      const titles = receiver.received.map(({ body }) => Number(JSON.parse(body).data.changes.title[1]))
      t.strictSame(
        titles,
        Array.from({ length: 30 }, (_, index) => index + 1),
      )
    }
  })

  test('a database that drops every connection costs nothing but time', async t => {
    const { app, database, db, owner, webhook } = await waiting(t, 0)
    deliver(t, database)
    for (let number = 1; number <= 5; number++) {
      await happenAgain(db, owner.id)
      await firstRow(
        db,
        sql`select count(pg_terminate_backend(pid)) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid()`,
      ).catch(() => {})
    }
    const list = await until(
      app,
      webhook,
      all => all.length >= 5 && all.every(({ status }) => status === 'succeeded'),
    )
    t.ok(list.length >= 5)
  })
}

async function happenAgain(db: Db, owner_id: string) {
  for (;;) {
    try {
      return await happen(db, owner_id)
    } catch {
      // The connection was among those that were dropped.
    }
  }
}
