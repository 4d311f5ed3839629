import { test } from 'tap'
import type { App } from '../../../src/app.ts'
import { webhooks } from '../../../src/domains/webhooks/tables.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser } from '../../helper.ts'
import { aWebhook, type Headers, open, send, withDeliveries } from './calls.ts'

interface Line {
  type: string
  data: Record<string, unknown>
}

async function exported(app: App, headers: Headers) {
  const { body } = await app.inject({ url: '/api/v1/users/me/export', headers })
  const lines: Line[] = body
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  const dataOf = (type: string) => lines.filter(line => line.type === type).map(({ data }) => data)
  return { body, webhooks: dataOf('webhook'), deliveries: dataOf('webhook_delivery') }
}

test('what is held about a user holds webhooks, deleted ones too, and what was sent to them', async t => {
  const app = await open(t)
  const [user, other] = [await aUser(app), await aUser(app)]
  const attempt = { attempted_at: new Date().toISOString(), duration_ms: 7, response_status: 500 }
  const attempts = [{ ...attempt, response_body: 'no', error: 'The answer was 500, not 2xx.' }]
  const { webhook: kept } = await aWebhook(app, user.headers, { description: 'For the till.' })
  const { webhook: deleted } = await aWebhook(app, user.headers)
  const { webhook: theirs } = await aWebhook(app, other.headers)
  // More than are read at once, and as many.
  const ids = await withDeliveries(
    app,
    kept.id,
    Array.from({ length: 201 }, () => 'failed' as const),
    { attempts },
  )
  await withDeliveries(
    app,
    deleted.id,
    Array.from({ length: 100 }, () => 'succeeded' as const),
  )
  await withDeliveries(app, theirs.id, ['failed'])
  await send(app, 'POST', `/${kept.id}/rotate-secret`, user.headers)
  await send(app, 'DELETE', `/${deleted.id}`, user.headers)

  const { body, webhooks, deliveries } = await exported(app, user.headers)
  t.strictSame(
    webhooks.map(({ id }) => id),
    [deleted.id, kept.id],
  )
  t.match(webhooks, [{ deleted_at: /Z$/ }, { deleted_at: null, description: 'For the till.', types: ['*'] }])
  const ofKept = deliveries.filter(({ webhook_id }) => webhook_id === kept.id)
  t.strictSame(
    ofKept.map(({ id }) => id),
    ids.toReversed(),
  )
  t.match(ofKept[0], { type: 'item.created', status: 'failed', attempts, request_id: null })
  t.equal(deliveries.length, 301)
  t.notOk(body.includes(theirs.id))
  const secrets = [kept, deleted].map(({ secret }) => secret.slice('whsec_'.length))
  for (const secret of secrets) t.notOk(body.includes(secret))
  for (const row of webhooks) t.notOk('secret' in row || 'previous_secret' in row || 'lease' in row)
  t.strictSame((await exported(app, (await aUser(app)).headers)).webhooks, [])
})

test('of any number of webhooks, each is in it once', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const fields = {
    user_id,
    url: 'https://1.1.1.1/',
    types: ['*'],
    scope: 'own',
    deleted_at: new Date(),
  } as const
  const rows = Array.from({ length: 150 }, () => ({ ...fields, types: ['*'], id: newId() }))
  await app.database.db.insert(webhooks).values(rows)
  for (const { id } of [rows[0], rows[149]].filter(row => row !== undefined))
    await withDeliveries(app, id, ['succeeded'])
  const { webhooks: shown, deliveries } = await exported(app, headers)
  t.strictSame(
    shown.map(({ id }) => id),
    rows.map(({ id }) => id).reverse(),
  )
  t.strictSame(
    deliveries.map(({ webhook_id }) => webhook_id),
    [rows[149]?.id, rows[0]?.id],
  )
})
