import { setTimeout as sleep } from 'node:timers/promises'
import { eq } from 'drizzle-orm'
import type { Test } from 'tap'
import type { App } from '../../../src/app.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import type { Database, Db } from '../../../src/db/types.ts'
import { itemCreated } from '../../../src/domains/items/events.ts'
import { startDeliverer } from '../../../src/domains/webhooks/delivery/deliverer.ts'
import { fanOut } from '../../../src/domains/webhooks/delivery/fan-out.ts'
import { webhooks } from '../../../src/domains/webhooks/tables.ts'
import { record } from '../../../src/events/record.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { newId } from '../../../src/lib/id.ts'
import { anotherDatabase, eventsAreFinal } from '../../database.ts'
import { aUser, build, recordingLogger, testConfig } from '../../helper.ts'
import { type AWebhook, aWebhook, deliveriesOf } from './calls.ts'
import { type Answer, aReceiver } from './receiver.ts'

const NEARBY = { WEBHOOK_ALLOW_PRIVATE: 'true' }

/** The service, which may send to loopback. */
export const open = (t: Test, variables: Record<string, string> = {}) =>
  build(t, { variables: { ...NEARBY, ...variables } })

type Settings = Parameters<typeof startDeliverer>[1]

/** Sends what is due until the test ends. */
export function deliver(
  t: Test,
  database: Database,
  settings: Settings = {},
  variables: Record<string, string> = {},
) {
  const { logger, lines } = recordingLogger()
  const config = testConfig({ ...NEARBY, ...variables })
  const deliverer = startDeliverer({ config, database, logger }, settings)
  t.teardown(() => deliverer.stop(0))
  return { stop: (graceMs: number) => deliverer.stop(graceMs), lines }
}

/** A receiver, and a webhook of a new user's that points to it. */
export async function aTarget(t: Test, app: App, answer?: Answer, fields: object = {}) {
  const receiver = await aReceiver(t, answer)
  const owner = await aUser(app)
  const { webhook } = await aWebhook(app, owner.headers, { url: receiver.url, ...fields })
  return { receiver, owner, webhook }
}

const origin = { request_id: null, ip: null, user_agent: null }

/** So many events about what somebody owns, each in a transaction of its own, one after the other. */
export async function happen(db: Db, owner_id: string, count = 1) {
  for (let number = 1; number <= count; number++) await happenOnce(db, owner_id, String(number))
}

export const happenOnce = (db: Db, owner_id: string, title: string) =>
  inTransaction(db, tx =>
    record(tx, systemActor(origin), itemCreated, { subject_id: newId(), owner_id, after: { title } }),
  )

type Deliveries = Awaited<ReturnType<typeof deliveriesOf>>

/** What was or is to be sent to a webhook, oldest first, as soon as it is as it should be. */
export async function until(
  app: App,
  { id }: Pick<AWebhook, 'id'>,
  expected: (deliveries: Deliveries) => boolean,
): Promise<Deliveries> {
  for (;;) {
    const deliveries = await deliveriesOf(app, id)
    if (expected(deliveries)) return deliveries
    // So that others get a turn.
    await sleep(10)
  }
}

/** What was sent, once so many attempts have been made of the first event. */
export async function attempted(app: App, webhook: Pick<AWebhook, 'id'>, count = 1) {
  const [first] = await until(app, webhook, ([delivery]) => (delivery?.attempts.length ?? 0) >= count)
  if (first === undefined) throw new Error('It was there a moment ago.')
  return { ...first, last: first.attempts[count - 1] }
}

/** What one message was answered, as the log tells it. */
export async function outcomeOf(t: Test, app: App, answer: Answer, fields: object = {}) {
  const target = await aTarget(t, app, answer, fields)
  await happen(app.database.db, target.owner.id)
  return { ...target, delivery: await attempted(app, target.webhook) }
}

type Row = typeof webhooks.$inferInsert

export const change = (app: App, { id }: Pick<AWebhook, 'id'>, values: Partial<Row>) =>
  app.database.db.update(webhooks).set(values).where(eq(webhooks.id, id))

export const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000)

/** A webhook for which something is due, with nobody who sends. */
export async function waiting(t: Test, count = 1) {
  const database = await anotherDatabase(t)
  const app = await build(t, { database, variables: NEARBY })
  const target = await aTarget(t, app)
  await happen(database.db, target.owner.id, count)
  await noteAll(database.db)
  return { app, database, db: database.db, ...target }
}

/** As far as events are final, which those of other databases on the same server may delay. */
export async function noteAll(db: Db) {
  await eventsAreFinal(db)
  while ((await fanOut(db)) > 0);
}
