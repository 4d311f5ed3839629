import { eq } from 'drizzle-orm'
import { test } from 'tap'
import { vaultOf } from '../../../src/domains/webhooks/secrets.ts'
import { webhooks } from '../../../src/domains/webhooks/tables.ts'
import { aUser, recordingLogger, signedIn } from '../../helper.ts'
import { isReplay } from '../../idempotency/effects.ts'
import { aWebhook, eventsAbout, eventTypes, open, rowOf, send, stored, TARGET } from './calls.ts'

const DAY_MS = 86_400_000

/** Where a secret must not be in clear: as it is, without its prefix, or as the bytes that it stands for. */
const traces = (secret: string) => {
  const base64 = secret.slice('whsec_'.length)
  return [base64, Buffer.from(base64, 'base64').toString('hex'), base64.slice(0, -1)]
}

test('a secret is in the answer that makes it, and nowhere else', async t => {
  const { logger, text } = recordingLogger()
  const app = await open(t, { logger })
  const { headers } = await aUser(app)
  const keyed = { ...headers, 'idempotency-key': 'a secret' }
  const { webhook } = await aWebhook(app, keyed)
  const path = `/${webhook.id}`
  const rotated = await send(app, 'POST', `${path}/rotate-secret`, {
    ...headers,
    'idempotency-key': 'another secret',
  })
  const { secret, ...shown } = rotated.json()
  t.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  t.not(secret, webhook.secret)
  const others = [
    await send(app, 'GET', path, headers),
    await send(app, 'GET', '', headers),
    await send(app, 'PATCH', path, headers, { description: 'x' }),
    await send(app, 'PUT', path, headers, { description: 'y' }),
    await send(app, 'POST', `${path}/disable`, headers),
    await send(app, 'POST', `${path}/enable`, headers),
    await send(app, 'POST', `${path}/ping`, headers),
    await send(app, 'GET', `${path}/deliveries`, headers),
    await app.inject({ url: '/api/v1/users/me/export', headers }),
    await app.inject({ url: '/api/v1/users/me/activity', headers }),
    await app.inject({ url: '/api/v1/audit', headers: await signedIn(app) }),
  ]
  t.match(others[0]?.json(), shown)
  const places: Record<string, string> = {
    answers: others.map(({ statusCode, body }) => `${statusCode} ${body}`).join(' '),
    events: JSON.stringify(
      (await eventsAbout(app, webhook.id)).map(({ transaction_id: _, ...rest }) => rest),
    ),
    log: text(),
    database: await stored(app, ['webhooks', 'webhook_deliveries', 'events', 'idempotency_keys']),
  }
  t.notMatch(places.answers, /\b[45]\d\d \{/)
  for (const [place, content] of Object.entries(places)) {
    t.match(content, webhook.id, `${place}, where the webhook is`)
    t.notMatch(content, /whsec_/, place)
    for (const trace of [secret, webhook.secret].flatMap(traces)) t.notOk(content.includes(trace), place)
  }
  t.strictSame((await rowOf(app, webhook.id)).unsealed, [secret, webhook.secret])
})

test('the same key makes one webhook, and one rotation, with the same secret', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const keyed = { ...headers, 'idempotency-key': 'again' }
  const make = () => send(app, 'POST', '', keyed, { url: TARGET })
  const first = await make()
  t.equal(first.statusCode, 201)
  isReplay(t, first, await make())
  const { id, secret } = first.json()
  t.equal(await app.database.db.$count(webhooks, eq(webhooks.user_id, user_id)), 1)
  const keyedAgain = { ...headers, 'idempotency-key': 'and again' }
  const rotate = () => send(app, 'POST', `/${id}/rotate-secret`, keyedAgain)
  const rotated = await rotate()
  isReplay(t, rotated, await rotate())
  t.strictSame((await rowOf(app, id)).unsealed, [rotated.json().secret, secret])
  t.strictSame(await eventTypes(app, id), ['webhook.created', 'webhook.rotated'])
  const other = await send(app, 'POST', '', keyed, { url: TARGET, description: 'x' })
  t.match(other.json(), { status: 422, code: 'idempotency_mismatch' })
})

test('many with the same key at once make one webhook', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const keyed = { ...headers, 'idempotency-key': 'at once' }
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => send(app, 'POST', '', keyed, { url: TARGET })),
  )
  const made = answers.filter(({ statusCode }) => statusCode === 201)
  t.ok(made.length >= 1)
  t.equal(new Set(made.map(({ body }) => body)).size, 1)
  for (const answer of answers)
    if (!made.includes(answer)) t.equal(answer.json().code, 'idempotency_in_progress')
  t.equal(await app.database.db.$count(webhooks, eq(webhooks.user_id, user_id)), 1)
})

test('after a rotation the old secret stays for a day, and at most one does', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const { id } = webhook
  const rotate = async () => {
    const before = Date.now()
    const answer = await send(app, 'POST', `/${id}/rotate-secret`, headers)
    t.equal(answer.statusCode, 200, answer.body)
    const { secret, previous_secret_expires_at } = answer.json()
    const until = Date.parse(previous_secret_expires_at)
    // The clock of the database is another one.
    t.ok(Math.abs(until - before - DAY_MS) < 60_000, 'a day from now')
    return { secret, answer, previous_secret_expires_at }
  }
  const first = await rotate()
  t.match(first.answer.json(), { version: 2, url: TARGET, enabled: true })
  t.match(first.answer.headers['cache-control'], /no-store/)
  t.strictSame((await rowOf(app, id)).unsealed, [first.secret, webhook.secret])
  const second = await rotate()
  t.strictSame((await rowOf(app, id)).unsealed, [second.secret, first.secret], 'the oldest is gone')

  const [, rotated, again, ...more] = await eventsAbout(app, id)
  t.strictSame(more, [])
  t.match(rotated, { type: 'webhook.rotated', actor_type: 'user', actor_id: user_id, owner_id: user_id })
  const until = first.previous_secret_expires_at
  t.strictSame(rotated?.changes.previous_secret_expires_at, [null, until], 'a moment like any other')
  t.strictSame(Object.keys(rotated?.changes ?? {}).sort(), ['previous_secret_expires_at', 'version'])
  t.strictSame(again?.changes.version, [2, 3])

  const { db } = app.database
  const etag = String(second.answer.headers.etag)
  const past = new Date(Date.now() - 60_000)
  await db.update(webhooks).set({ previous_secret_expires_at: past }).where(eq(webhooks.id, id))
  const later = await send(app, 'GET', `/${id}`, { ...headers, 'if-none-match': etag })
  t.match(later.json(), { previous_secret_expires_at: null, version: 3 }, 'once the day is over')
  t.match((await send(app, 'GET', '', headers)).json().data, [{ previous_secret_expires_at: null }])
})

test('of parallel rotations each answers another secret, and the last two are kept', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => send(app, 'POST', `/${webhook.id}/rotate-secret`, headers)),
  )
  const byVersion = answers.map(answer => answer.json()).sort((a, b) => b.version - a.version)
  t.strictSame(
    byVersion.map(({ version }) => version),
    [6, 5, 4, 3, 2],
  )
  t.strictSame((await rowOf(app, webhook.id)).unsealed, [byVersion[0].secret, byVersion[1].secret])
})

test('what is sealed for webhooks opens for nothing else', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const { secret: sealed } = await rowOf(app, webhook.id)
  t.equal(vaultOf(app.accounts.config).open(sealed ?? ''), webhook.secret)
  t.throws(() => app.accounts.vault.open(sealed ?? ''), 'what is sealed for accounts is something else')
})
