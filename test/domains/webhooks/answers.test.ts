import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { firstRow } from '../../../src/db/rows.ts'
import { aUser } from '../../helper.ts'
import { anItem } from '../items/calls.ts'
import { aWebhook, eventsAbout, eventTypes, rowOf, send } from './calls.ts'
import { ago, aTarget, attempted, change, deliver, happen, open, outcomeOf, until } from './delivering.ts'
import { type Answer, answerWith, aReceiver } from './receiver.ts'

test('2xx counts and nothing else does', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const good = [200, 201, 202, 204, 299]
  const bad = [304, 400, 401, 404, 409, 422, 500, 502, 504]
  const outcomes = [...good, ...bad].map(status => outcomeOf(t, app, answerWith(status, {}, 'body')))
  for (const [index, { delivery }] of (await Promise.all(outcomes)).entries()) {
    const response_status = [...good, ...bad][index] ?? 0
    const expected = good.includes(response_status)
      ? { status: 'succeeded', next_attempt_at: null, last: { error: null } }
      : { status: 'pending', next_attempt_at: Date, last: { error: /not/ } }
    const response_body = [204, 304].includes(response_status) ? '' : 'body'
    t.match(delivery, expected, String(response_status))
    t.match(delivery.last, { response_status, response_body, duration_ms: Number })
  }
})

test('a redirect is told, not followed', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const elsewhere = await aReceiver(t)
  const outcomes = [301, 302, 303, 307, 308].map(async response_status => {
    const answer = answerWith(response_status, { location: elsewhere.url })
    const { delivery, receiver } = await outcomeOf(t, app, answer)
    t.match(delivery.last, { response_status, error: 'A redirect is not followed.' })
    t.equal(receiver.received.length, 1)
  })
  await Promise.all(outcomes)
  t.strictSame(elsewhere.received, [])
})

test('who answers 410 is sent nothing more, and the owner is told', async t => {
  const app = await open(t)
  const { db } = app.database
  deliver(t, app.database)
  const { webhook, owner, receiver, delivery } = await outcomeOf(t, app, answerWith(410))
  t.match(delivery, { status: 'failed', last: { response_status: 410 } })
  t.match(await rowOf(app, webhook.id), { enabled: false, disabled_reason: 'gone', disabled_at: Date })
  const [, disabled, ...more] = await eventsAbout(app, webhook.id)
  t.match(disabled, { type: 'webhook.disabled', actor_type: 'system', owner_id: owner.id })
  t.match(disabled?.changes, { enabled: [true, false], disabled_reason: [null, 'gone'] })
  t.strictSame(more, [])
  const mails = await firstRow<{ count: number }>(
    db,
    sql`select count(*)::int as count from pgboss.job where name = 'mail.send'`,
  )
  t.equal(mails?.count, 1)
  await happen(db, owner.id)
  // What comes after it for somebody else is on its way, so nothing more comes for this one.
  const other = await outcomeOf(t, app, answerWith(204))
  t.equal(other.delivery.status, 'succeeded')
  t.equal(receiver.received.length, 1)

  receiver.answer = answerWith(204)
  t.equal((await send(app, 'POST', `/${webhook.id}/enable`, owner.headers)).statusCode, 200)
  await happen(db, owner.id)
  const deliveries = await until(app, webhook, list => list.at(-1)?.status === 'succeeded')
  t.strictSame(
    deliveries.map(({ status }) => status),
    ['failed', 'succeeded', 'succeeded'],
    'of itself it hears that it was enabled; what happened meanwhile is not sent',
  )
})

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1_000)

for (const [status, header, least, most] of [
  [429, () => '120', 119, 121],
  [503, () => inSeconds(90).toUTCString(), 88, 91],
  [429, () => '99999999', 86_399, 86_401],
] as const) {
  test(`${status} with Retry-After of ${most} s, or more, silences the webhook so long`, async t => {
    const app = await open(t)
    deliver(t, app.database)
    const answer: Answer = (request, response) =>
      answerWith(status, { 'retry-after': header() })(request, response)
    const { webhook, owner, receiver, delivery } = await outcomeOf(t, app, answer)
    const wait = (Number(delivery.next_attempt_at) - Date.now()) / 1000
    t.ok(wait > least - 5 && wait <= most, `${wait} s`)
    const row = await rowOf(app, webhook.id)
    const pause = (Number(row.paused_until) - Date.now()) / 1000
    t.ok(pause > least - 5 && pause <= most, `${pause} s`)

    receiver.answer = answerWith(204)
    await happen(app.database.db, owner.id)
    const waiting = await until(app, webhook, list => list.length === 2)
    t.strictSame(
      waiting.map(({ attempts }) => attempts.length),
      [1, 0],
    )
    const { due_at } = await rowOf(app, webhook.id)
    t.ok(Number(due_at) > Date.now() + (least - 6) * 1000)

    await change(app, webhook, { paused_until: ago(1), due_at: ago(1) })
    await until(app, webhook, ([, second]) => second?.status === 'succeeded')
    t.equal(receiver.received.length, 2)
  })
}

test('who answers 410 to what was deleted meanwhile has nothing disabled', async t => {
  const app = await open(t)
  const { lines } = deliver(t, app.database)
  const { webhook, owner } = await aTarget(t, app, async (request, response) => {
    await send(app, 'DELETE', `/${webhook.id}`, owner.headers)
    answerWith(410)(request, response)
  })
  await happen(app.database.db, owner.id)
  t.match(await attempted(app, webhook), { status: 'failed', last: { response_status: 410 } })
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created', 'webhook.deleted'])
  t.notOk(lines().some(({ msg }) => msg.includes('interrupted')))
})

test('what comes while a receiver is asking for silence waits, too', async t => {
  const app = await open(t)
  deliver(t, app.database)
  let asked = (_response: ServerResponse) => {}
  const response = new Promise<ServerResponse>(resolve => {
    asked = resolve
  })
  const { receiver, owner, webhook } = await aTarget(t, app, (_request, response) => asked(response))
  await happen(app.database.db, owner.id)
  const held = await response
  await happen(app.database.db, owner.id)
  await until(app, webhook, list => list.length === 2)
  receiver.answer = answerWith(204)
  held.writeHead(429, { 'retry-after': '100' }).end()
  await attempted(app, webhook)
  for (;;) {
    const { lease, due_at } = await rowOf(app, webhook.id)
    if (lease !== null) continue
    t.ok(Number(due_at) > Date.now() + 90_000)
    break
  }
  t.equal(receiver.received.length, 1)
  t.equal((await send(app, 'POST', `/${webhook.id}/ping`, owner.headers)).statusCode, 202)
  await receiver.arrived(3)
  t.pass('the owner counts more than the receiver')
})

test('a Retry-After that says nothing, or too little, changes nothing', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const values = ['1', '0', 'soon', '-5', 'Thu, 01 Jan 1970 00:00:00 GMT']
  const outcomes = values.map(async value => {
    const { delivery } = await outcomeOf(t, app, answerWith(429, { 'retry-after': value }))
    const wait = (Number(delivery.next_attempt_at) - Date.parse(delivery.last?.attempted_at ?? '')) / 1000
    t.ok(wait >= 5 && wait < 10, `${value}: ${wait} s`)
  })
  await Promise.all(outcomes)
})

const TEN_MEGABYTES = 10 * 1_024 * 1_024

test('of ten megabytes a kilobyte is kept, and most are never read', async t => {
  const app = await open(t)
  deliver(t, app.database)
  let written = 0
  const flood: Answer = async (_request, response) => {
    const chunk = Buffer.alloc(64 * 1_024, 'x')
    response.writeHead(200, { 'content-length': TEN_MEGABYTES }).on('error', () => {})
    for (; written < TEN_MEGABYTES && !response.destroyed; written += chunk.length) {
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')])
    }
    response.end()
  }
  const { delivery } = await outcomeOf(t, app, flood)
  t.match(delivery, { status: 'succeeded', last: { response_status: 200, response_body: 'x'.repeat(1_024) } })
  t.ok(written < TEN_MEGABYTES, `${written} bytes were written`)
})

const hangUp: Answer = (request: IncomingMessage) => request.socket.destroy()
const hangUpInside: Answer = (_request, response) => {
  response.writeHead(200, { 'content-length': 100 }).write('half an ans')
  setImmediate(() => response.destroy())
}
const ramble: Answer = (_request, response) => {
  response.writeHead(200, { 'x-long': 'x'.repeat(30_000) }).end()
}

test('a receiver that hangs up, rambles, or is not there', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const before = await outcomeOf(t, app, hangUp)
  t.match(before.delivery, { status: 'pending', last: { response_status: null, error: /broke off/ } })
  const within = await outcomeOf(t, app, hangUpInside)
  t.match(within.delivery, {
    status: 'succeeded',
    last: { response_status: 200, response_body: 'half an ans' },
  })
  const rambled = await outcomeOf(t, app, ramble)
  t.match(rambled.delivery.last, { response_status: null, error: 'The headers of the answer are too long.' })
  const { receiver, owner, webhook } = await aTarget(t, app)
  receiver.close()
  await happen(app.database.db, owner.id)
  const { last } = await attempted(app, webhook)
  t.match(last, { response_status: null, response_body: '', error: 'The connection was refused.' })
})

test('a receiver that does not answer in time', async t => {
  const app = await open(t)
  deliver(t, app.database, { time_limit_ms: 300 })
  const { delivery } = await outcomeOf(t, app, () => {})
  t.match(delivery, { status: 'pending', last: { error: 'There was no answer within 0.3 s.' } })
  const duration = Number(delivery.last?.duration_ms)
  t.ok(duration >= 299 && duration < 3_000, `${duration} ms`)
})

test('an answer of bytes that are no text is kept as far as it can be', async t => {
  const app = await open(t)
  deliver(t, app.database)
  const bytes = Buffer.from([0x61, 0, 0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0x62])
  const { delivery } = await outcomeOf(t, app, (_request, response) => response.writeHead(500).end(bytes))
  t.match(delivery.last?.response_body, /^a\ufffd+\(\ufffd+b$/)
  const long = Buffer.from('€'.repeat(400))
  const cut = await outcomeOf(t, app, (_request, response) => response.writeHead(200).end(long))
  t.equal(cut.delivery.last?.response_body, '€'.repeat(341))
})

test('a name that leads to a private address when it is time to connect', async t => {
  const variables = { WEBHOOK_ALLOW_PRIVATE: 'false' }
  let address = '93.184.216.34'
  const resolve = async () => [{ address, family: 4 }]
  const app = await open(t, variables)
  deliver(t, app.database, { resolve }, variables)
  const receiver = await aReceiver(t)
  const owner = await aUser(app)
  const url = receiver.url.replace('127.0.0.1', 'rebinding.example')
  const { webhook } = await aWebhook(app, owner.headers, { url })
  address = '127.0.0.1'
  await anItem(app, owner.headers)
  const { last } = await attempted(app, webhook)
  t.match(last, { response_status: null, error: 'The name resolves to an address that is not public.' })
  // Also what was stored before the address was refused.
  await change(app, webhook, { url: receiver.url })
  await anItem(app, owner.headers)
  const [, second] = await until(app, webhook, list => list[1]?.attempts.length === 1)
  t.match(second?.attempts, [{ error: 'The address is not public.' }])
  t.strictSame(receiver.received, [])
})
