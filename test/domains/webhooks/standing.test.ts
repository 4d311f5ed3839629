import { eq } from 'drizzle-orm'
import { test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import { readStanding } from '../../../src/domains/webhooks/public.ts'
import { webhookDeliveries, webhooks } from '../../../src/domains/webhooks/tables.ts'
import { newId } from '../../../src/lib/id.ts'
import { anotherDatabase, eventsAreFinal } from '../../database.ts'
import { aUser } from '../../helper.ts'
import { aWebhook, open, send, withDeliveries } from './calls.ts'
import { ago } from './delivering.ts'

test('what is overdue is counted, and what is so for want of a worker', async t => {
  const app = await open(t, { database: await anotherDatabase(t) })
  const { db } = app.database
  const late = ago(600)
  const standing = () => readStanding(db, late)
  const nothing = { enabled: 0, failing: 0, overdue: 0, forgotten: 0, unread: false }
  t.strictSame(await standing(), nothing)

  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  await aWebhook(app, headers)
  await withDeliveries(app, webhook.id, ['pending', 'pending', 'succeeded', 'failed'])
  const known = { ...nothing, enabled: 2 }
  t.strictSame(await standing(), known, 'what is due now will be sent')

  await db.update(webhookDeliveries).set({ next_attempt_at: ago(700) })
  const hook = (fields: object) => db.update(webhooks).set(fields).where(eq(webhooks.id, webhook.id))
  const cases: [string, object, object][] = [
    ['nobody came', { due_at: ago(700) }, { forgotten: 2 }],
    ['it waits for its next turn', { due_at: ago(1) }, {}],
    ['it is not even due', { due_at: null }, { forgotten: 2 }],
    ['it is being sent to', { lease: newId(), leased_until: new Date() }, {}],
    ['who sent has died, and nobody else came', { leased_until: ago(700) }, { forgotten: 2 }],
    ['the receiver wants silence', { paused_until: new Date(Date.now() + 60_000) }, {}],
    ['that is over', { paused_until: ago(1) }, { forgotten: 2 }],
    ['it fails', { failing_since: ago(700) }, { failing: 1 }],
  ]
  for (const [name, fields, expected] of cases) {
    await hook(fields)
    t.strictSame(await standing(), { ...known, overdue: 2, ...expected }, name)
  }
  await hook({ failing_since: null })
  await db.update(users).set({ is_active: false }).where(eq(users.id, user_id))
  t.strictSame(await standing(), { ...known, overdue: 2 }, 'its owner may not have it')
  await hook({ enabled: false })
  t.strictSame(await standing(), { ...known, enabled: 1 })
})

test('events that nobody reads are told of, once there is somebody to hear of them', async t => {
  const app = await open(t, { database: await anotherDatabase(t) })
  const { db } = app.database
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  await eventsAreFinal(db)
  const soon = new Date(Date.now() + 60_000)
  t.match(await readStanding(db, ago(600)), { enabled: 1, unread: false }, 'they are new')
  t.match(await readStanding(db, soon), { enabled: 1, unread: true })
  await send(app, 'DELETE', `/${webhook.id}`, headers)
  t.match(await readStanding(db, soon), { enabled: 0, unread: false })
})
