import type { ServerResponse } from 'node:http'
import { test } from 'tap'
import type { App } from '../../../src/app.ts'
import { webhooks } from '../../../src/domains/webhooks/tables.ts'
import { aUser } from '../../helper.ts'
import { aWebhook, rowOf } from './calls.ts'
import { ago, aTarget, deliver, happen, happenOnce, open } from './delivering.ts'
import { aReceiver } from './receiver.ts'

/** So many webhooks of one user, more than the API lets anybody have, with their secrets as if it had made them. */
async function aCrowd(
  app: App,
  size: number,
  url: string,
  fields: Partial<typeof webhooks.$inferInsert> = {},
) {
  const { db } = app.database
  const owner = await aUser(app)
  const row = {
    user_id: owner.id,
    url,
    types: ['*'],
    scope: 'own' as const,
    made_in_transaction: 0n,
    ...fields,
  }
  await db.insert(webhooks).values(Array.from({ length: size }, () => row))
  return owner
}

/** How long messages take to a receiver that is well, from before the event is recorded. */
async function latencies(t: Parameters<typeof open>[0], app: App, secret: (s: string) => unknown) {
  const { receiver, owner, webhook } = await aTarget(t, app)
  await secret(String((await rowOf(app, webhook.id)).secret))
  const times: number[] = []
  for (let count = 1; count <= 10; count++) {
    const began = performance.now()
    await happenOnce(app.database.db, owner.id, String(count))
    await receiver.arrived(count)
    times.push(performance.now() - began)
  }
  return times.sort((one, other) => one - other)
}

const MOST_MS = 3_000

for (const [size, what, fields] of [
  [30, 'thirty that hang', {}],
  [400, 'four hundred that hang and have failed before', { failing_since: ago(60) }],
] as const) {
  test(`${what} do not delay another one`, async t => {
    const app = await open(t)
    const hanging = await aReceiver(t, () => {})
    const times = await latencies(t, app, async secret => {
      const owner = await aCrowd(app, size, hanging.url, { secret, ...fields })
      await happen(app.database.db, owner.id)
      deliver(t, app.database)
      // They have been taken, and nobody answers.
      await hanging.arrived(Math.min(size, 250))
    })
    const [median, worst] = [times[5], times.at(-1)].map(ms => Math.round(ms ?? 0))
    t.comment(`median ${median} ms, longest ${worst} ms`)
    t.ok(Number(worst) < MOST_MS, `${worst} ms`)
    t.ok(hanging.received.length <= 250, 'those that fail have their share and no more')
  })
}

test('of what is large, no more is on its way at once than memory has room for', async t => {
  const app = await open(t)
  let waiting = 0
  let most = 0
  const responses: ServerResponse[] = []
  const receiver = await aReceiver(t, (_request, response) => {
    most = Math.max(most, ++waiting)
    responses.push(response)
  })
  const owner = await aUser(app)
  for (let count = 0; count < 3; count++) await aWebhook(app, owner.headers, { url: receiver.url })
  deliver(t, app.database, { most_large_bytes: 150_000 })
  await happenOnce(app.database.db, owner.id, 'x'.repeat(100_000))
  for (let count = 1; count <= 3; count++) {
    await receiver.arrived(count)
    waiting--
    responses.pop()?.writeHead(204).end()
  }
  t.equal(most, 1)
})
