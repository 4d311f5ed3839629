import { eq, sql } from 'drizzle-orm'
import { test } from 'tap'
import { users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { expireDeliveries, resealWebhookSecrets } from '../../../src/domains/webhooks/jobs.ts'
import { SECRETS_PURPOSE } from '../../../src/domains/webhooks/secrets.ts'
import { webhookDeliveries, webhooks } from '../../../src/domains/webhooks/tables.ts'
import type { Job, JobContext } from '../../../src/jobs/job.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { firstIdAt, newId } from '../../../src/lib/id.ts'
import { createVault } from '../../../src/lib/vault.ts'
import { aUser, recordingLogger, testConfig } from '../../helper.ts'
import { aWebhook, deliveriesOf, eventTypes, open, rowOf, send, TARGET, withDeliveries } from './calls.ts'

const DAY_MS = 86_400_000
const oldKey = 'the key of yesterday, 32 characters'
const newKey = 'the key of today, of 32 characters.'
const rotating = { JWT_SECRET_KEY: newKey, JWT_SECRET_KEY_PREVIOUS: oldKey }

interface Settings {
  variables?: Record<string, string>
  signal?: Pick<AbortSignal, 'throwIfAborted'>
}

/** Runs a job, and returns what it logs last. */
async function run({ database }: App, job: Job, { variables = {}, signal }: Settings = {}) {
  const { logger, lines } = recordingLogger()
  const context = { config: testConfig(variables), database, logger, actor: systemActor() }
  await job.run({}, {
    ...context,
    signal: signal ?? new AbortController().signal,
  } as unknown as JobContext)
  return lines().at(-1)
}

const ago = (days: number) => new Date(Date.now() - days * DAY_MS)

/** What was sent so many days ago. Its id tells when it happened, and may be older. */
const sent = (days: number, happened = days) => ({
  id: `${firstIdAt(ago(happened)).slice(0, 24)}${newId().slice(24)}`,
  created_at: ago(days),
})

test('what came of deliveries is kept for thirty days, and what is still to be sent until it is', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const add = async (status: 'pending' | 'succeeded' | 'failed', fields: object) =>
    (await withDeliveries(app, webhook.id, [status], fields))[0]
  await add('succeeded', sent(30.01))
  await add('failed', sent(30.01))
  await add('failed', sent(400))
  const [waiting = ''] = await withDeliveries(app, webhook.id, ['pending'], sent(60))
  await app.database.db
    .update(webhookDeliveries)
    .set({ next_attempt_at: ago(31) })
    .where(eq(webhookDeliveries.id, waiting))
  const kept = [
    await add('pending', sent(400)),
    await add('succeeded', sent(29.99)),
    await add('failed', sent(29.99)),
    await add('succeeded', sent(1, 400)),
    await add('pending', {}),
    await add('succeeded', {}),
  ]
  await run(app, expireDeliveries)
  const left = (await deliveriesOf(app, webhook.id)).map(({ id }) => id)
  t.strictSame(left, kept.toSorted())
  t.match(await rowOf(app, webhook.id), { enabled: true, version: 1 })
})

test('of a deleted user nothing is left that the removal of the user would take long for', async t => {
  const app = await open(t)
  const { db } = app.database
  const owner = await aUser(app)
  const { webhook } = await aWebhook(app, owner.headers)
  await withDeliveries(app, webhook.id, ['pending', 'succeeded', 'failed'])
  await run(app, expireDeliveries)
  t.equal((await deliveriesOf(app, webhook.id)).length, 3)
  await db
    .update(users)
    .set({ deleted_at: ago(0.5) })
    .where(eq(users.id, owner.id))
  await run(app, expireDeliveries)
  t.equal((await deliveriesOf(app, webhook.id)).length, 0)
  t.equal(await db.$count(webhooks, eq(webhooks.id, webhook.id)), 1, 'which is there for who is restored')
})

test('a deleted webhook goes with all that was sent to it, in portions, and no other', async t => {
  const app = await open(t)
  const { db } = app.database
  const { headers } = await aUser(app)
  const [{ webhook: deleted }, { webhook: kept }] = [
    await aWebhook(app, headers),
    await aWebhook(app, headers),
  ]
  const fill = (id: string, count: number) =>
    db.execute(sql`
      insert into webhook_deliveries (webhook_id, id, transaction_id, type, status)
      select ${id}, gen_random_uuid(), 1, 'item.created', (array['pending', 'failed', 'succeeded'])[1 + n % 3]
      from generate_series(1, ${count}::int) as n`)
  await fill(deleted.id, 2_500)
  await fill(kept.id, 3)
  await send(app, 'DELETE', `/${deleted.id}`, headers)
  // The process stops while the job is at it.
  let portions = 0
  const throwIfAborted = () => {
    if (++portions > 2) throw new Error('stopping')
  }
  await t.rejects(run(app, expireDeliveries, { signal: { throwIfAborted } }), { message: 'stopping' })
  t.ok((await deliveriesOf(app, deleted.id)).length > 0)
  t.ok(await rowOf(app, deleted.id))
  await Promise.all([run(app, expireDeliveries), run(app, expireDeliveries)])
  t.strictSame(await deliveriesOf(app, deleted.id), [])
  await t.rejects(rowOf(app, deleted.id))
  t.equal((await deliveriesOf(app, kept.id)).length, 3)
  t.strictSame(
    await eventTypes(app, deleted.id),
    ['webhook.created', 'webhook.deleted'],
    'of which there is no event',
  )
})

test('of more webhooks than are read at once, none is overlooked', async t => {
  const app = await open(t)
  const { db } = app.database
  const { id: user_id } = await aUser(app)
  const rows = Array.from({ length: 1_001 }, (_none, index) => ({
    ...{ id: newId(), user_id, url: TARGET, types: ['*'], scope: 'own' as const },
    deleted_at: index >= 999 ? new Date() : null,
  }))
  await db.insert(webhooks).values(rows)
  const last = rows[998]?.id ?? ''
  await withDeliveries(app, last, ['failed'], sent(31))
  await run(app, expireDeliveries)
  t.equal(await db.$count(webhooks, eq(webhooks.user_id, user_id)), 999)
  t.strictSame(await deliveriesOf(app, last), [])
})

test('a job ends when the process does', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  await withDeliveries(app, webhook.id, ['failed'], sent(31))
  const before = await rowOf(app, webhook.id)
  const signal = AbortSignal.abort()
  for (const job of [expireDeliveries, resealWebhookSecrets])
    await t.rejects(run(app, job, { signal, variables: rotating }), { name: 'AbortError' })
  t.equal((await deliveriesOf(app, webhook.id)).length, 1)
  t.strictSame(await rowOf(app, webhook.id), before)
})

test('a rotation of the service’s key costs nobody their secret, nor the one before', async t => {
  const before = await open(t, { variables: { JWT_SECRET_KEY: oldKey } })
  const { db } = before.database
  await db.delete(webhooks)
  const { headers } = await aUser(before)
  const { webhook } = await aWebhook(before, headers)
  const { id } = webhook
  const { secret } = (await send(before, 'POST', `/${id}/rotate-secret`, headers)).json()
  const { webhook: single } = await aWebhook(before, headers)
  const { webhook: deleted } = await aWebhook(before, headers)
  await send(before, 'DELETE', `/${deleted.id}`, headers)
  const { webhook: unlucky } = await aWebhook(before, headers)
  const lost = createVault('a key that nobody has any more...', SECRETS_PURPOSE).seal('whsec_lost')
  await db.update(webhooks).set({ secret: lost }).where(eq(webhooks.id, unlucky.id))
  const { version, updated_at } = await rowOf(before, id)

  const first = await run(before, resealWebhookSecrets, { variables: rotating })
  t.match(first, { level: 40, current: 0, resealed: 3, changed: 0, unreadable: 1 })
  const again = await run(before, resealWebhookSecrets, { variables: rotating })
  t.match(again, { current: 3, resealed: 0, unreadable: 1 }, 'a second run finds nothing to do')

  const after = await open(t, { variables: { JWT_SECRET_KEY: newKey } })
  t.match(await rowOf(after, id), { version, updated_at, unsealed: [secret, webhook.secret] })
  t.strictSame((await rowOf(after, single.id)).unsealed, [single.secret, null])
  const [row] = await db.select().from(webhooks).where(eq(webhooks.id, unlucky.id))
  t.equal(row?.secret, lost)
})
