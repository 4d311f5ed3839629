import { eq } from 'drizzle-orm'
import { test } from 'tap'
import { MOST_WEBHOOKS } from '../../../src/domains/webhooks/limits.ts'
import { webhooks } from '../../../src/domains/webhooks/tables.ts'
import { aUser } from '../../helper.ts'
import {
  aWebhook,
  counted,
  eventsAbout,
  eventTypes,
  type Headers,
  open,
  rowOf,
  send,
  TARGET,
} from './calls.ts'

const FIELDS = [
  ...['created_at', 'description', 'disabled_at', 'disabled_reason', 'enabled', 'failing_since', 'id'],
  ...['previous_secret_expires_at', 'scope', 'types', 'updated_at', 'url', 'user_id', 'version'],
]

const times = (count: number) => Array.from({ length: count }, (_none, index) => index)

test('a webhook is made, and shows its secret once', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const own = { ...headers, 'x-request-id': 'request-of-a-webhook' }
  const { webhook, etag, answer } = await aWebhook(app, own)
  const { secret, ...shown } = webhook
  t.strictSame(Object.keys(shown).sort(), FIELDS)
  t.match(shown, {
    ...{ user_id, url: TARGET, description: null, types: ['*'], scope: 'own', enabled: true, version: 1 },
    ...{ disabled_reason: null, disabled_at: null, failing_since: null, previous_secret_expires_at: null },
    ...{ created_at: /^\d{4}-\d\d-\d\dT.*\.\d{3}Z$/, updated_at: shown.created_at },
  })
  t.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  t.equal(answer.headers.location, `/api/v1/webhooks/${shown.id}`)
  t.match(etag, new RegExp(`^"${shown.id}-1-[\\w-]+"$`))
  t.match(answer.headers['cache-control'], /no-store/)

  const read = await send(app, 'GET', `/${shown.id}`, headers)
  t.strictSame(read.json(), shown)
  t.equal(read.headers.etag, etag)
  const known = await send(app, 'GET', `/${shown.id}`, { ...headers, 'if-none-match': etag })
  t.equal(known.statusCode, 304)
  t.equal(known.body, '')
  t.strictSame((await send(app, 'GET', '', headers)).json().data, [shown])

  const recorded = await eventsAbout(app, shown.id)
  t.equal(recorded.length, 1)
  t.match(recorded[0], {
    ...{ type: 'webhook.created', subject_type: 'webhook', actor_type: 'user', actor_id: user_id },
    ...{ owner_id: user_id, request_id: 'request-of-a-webhook' },
  })
  const { types, scope, enabled, version } = shown
  t.strictSame(
    recorded[0]?.changes,
    Object.fromEntries(
      Object.entries({ url: TARGET, types, scope, enabled, version }).map(([field, value]) => [
        field,
        [null, value],
      ]),
    ),
  )
})

test('as long, and as many, as may be', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const fields = {
    url: `${TARGET}?${'x'.repeat(2_047 - TARGET.length)}`,
    description: '\u{1F4A1}'.repeat(500),
    types: ['*', 'item.*', 'item.created', 'i*', 'webhook.disabled', 'mfa.enabled'],
  }
  const { webhook } = await aWebhook(app, headers, fields)
  t.match(webhook, fields)
  t.match((await send(app, 'GET', `/${webhook.id}`, headers)).json(), fields)
})

/** What is at fault in a webhook that is made or changed. */
const faults: [fields: object, pointer: string, code: string, only?: 'new'][] = [
  [{ url: undefined }, '/url', 'required', 'new'],
  [{ enabled: true }, '/enabled', 'additionalProperties', 'new'],
  [{ url: '' }, '/url', 'minLength'],
  [{ url: `${TARGET}?${'x'.repeat(2_048)}` }, '/url', 'maxLength'],
  [{ url: null }, '/url', 'type'],
  [{ url: 5 }, '/url', 'type'],
  [{ url: [TARGET] }, '/url', 'type'],
  [{ url: ` ${TARGET}` }, '/url', 'pattern'],
  [{ url: `${TARGET}\n` }, '/url', 'pattern'],
  [{ url: `${TARGET}\u009b2J` }, '/url', 'pattern'],
  [{ url: 'http://127.0.0.1/' }, '/url', 'target'],
  [{ description: 'x'.repeat(501) }, '/description', 'maxLength'],
  [{ description: 5 }, '/description', 'type'],
  [{ types: [] }, '/types', 'minItems'],
  [{ types: null }, '/types', 'type'],
  [{ types: '*' }, '/types', 'type'],
  [{ types: [null] }, '/types/0', 'type'],
  [{ types: ['*', '*'] }, '/types', 'uniqueItems'],
  [{ types: times(20_000).map(() => 'item.created') }, '/types', 'maxItems'],
  [{ types: ['*', 'item.**'] }, '/types/1', 'pattern'],
  [{ types: ['ITEM.*'] }, '/types/0', 'pattern'],
  [{ types: [`item.${'x'.repeat(100)}`] }, '/types/0', 'maxLength'],
  [{ types: ['item.*', 'item.creatd'] }, '/types/1', 'unknown_type'],
  [{ types: ['webhook.ping'] }, '/types/0', 'unknown_type'],
  [{ scope: 'mine' }, '/scope', 'enum'],
  [{ scope: null }, '/scope', 'type'],
  [{ secret: 'whsec_mine' }, '/secret', 'additionalProperties'],
  [{ version: 7 }, '/version', 'additionalProperties'],
  [{ disabled_reason: 'gone' }, '/disabled_reason', 'additionalProperties'],
]

test('what is not valid is told, and nothing is made or changed', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  for (const [fields, pointer, code, only] of faults) {
    const name = `${pointer} ${code}`
    const expected = { status: 400, code: 'validation_failed', errors: [{ in: 'body', pointer, code }] }
    t.match((await send(app, 'POST', '', headers, { url: TARGET, ...fields })).json(), expected, name)
    if (only) continue
    for (const method of ['PATCH', 'PUT'] as const)
      t.match((await send(app, method, `/${webhook.id}`, headers, fields)).json(), expected, name)
  }
  for (const text of ['a\0b', '\ud83d']) {
    const body = { url: TARGET, description: text }
    const expected = { status: 400, code: 'invalid_text' }
    t.match((await send(app, 'POST', '', headers, body)).json(), expected)
    t.match((await send(app, 'PATCH', `/${webhook.id}`, headers, body)).json(), expected)
  }
  for (const enabled of [null, 'true', 1]) {
    const answer = await send(app, 'PATCH', `/${webhook.id}`, headers, { enabled })
    t.match(answer.json(), { status: 400, errors: [{ pointer: '/enabled', code: 'type' }] })
  }
  const expected = 'must be a type of events that there is, such as item.created or item.*'
  const all = await send(app, 'POST', '', headers, { url: 'http://10.0.0.1/', types: ['x.y', '*', 'z*'] })
  t.strictSame(
    all.json().errors.map(({ pointer, message }: Headers) => [pointer, message]),
    [
      ['/types/0', `${expected}; x.y is none`],
      ['/types/2', `${expected}; z* is none`],
      ['/url', 'The address is not public.'],
    ],
    'every fault at once',
  )
  t.equal((await send(app, 'PATCH', `/${webhook.id}`, headers)).statusCode, 400)
  t.equal(await app.database.db.$count(webhooks, eq(webhooks.user_id, user_id)), 1)
  t.match(await rowOf(app, webhook.id), { version: 1, url: TARGET })
  t.strictSame(await eventTypes(app, webhook.id), ['webhook.created'])
})

test('a change is one event with what is different, and nothing to change is no change', async t => {
  const app = await open(t)
  const { id: user_id, headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const { id } = webhook
  const other = 'https://v6-public.example/'
  const steps = [
    ['PATCH', { url: other }, { url: [TARGET, other] }],
    ['PUT', { description: 'For the till.' }, { description: [null, 'For the till.'] }],
    ['PATCH', { types: ['item.*', 'post.created'] }, { types: [['*'], ['item.*', 'post.created']] }],
    [
      'PUT',
      { description: null, types: ['*'] },
      { description: ['For the till.', null], types: [['item.*', 'post.created'], ['*']] },
    ],
    ['PATCH', { description: '' }, { description: [null, ''] }],
  ] as const
  let version = 1
  for (const [method, fields, changes] of steps) {
    const answer = await send(app, method, `/${id}`, headers, fields)
    t.equal(answer.statusCode, 200, answer.body)
    t.strictSame(Object.keys(answer.json()).sort(), FIELDS)
    t.match(answer.json(), { ...fields, id, version: ++version, created_at: webhook.created_at })
    t.match(answer.headers.etag, new RegExp(`^"${id}-${version}-[\\w-]+"$`))
    const recorded = await eventsAbout(app, id)
    t.equal(recorded.length, version)
    t.match(recorded.at(-1), { type: 'webhook.updated', actor_id: user_id, owner_id: user_id })
    t.strictSame(recorded.at(-1)?.changes, { ...changes, version: [version - 1, version] })
  }
  const before = (await send(app, 'GET', `/${id}`, headers)).json()
  for (const fields of [{}, { url: other }, { types: ['*'], enabled: true, scope: 'own', description: '' }]) {
    for (const method of ['PATCH', 'PUT'] as const)
      t.strictSame((await send(app, method, `/${id}`, headers, fields)).json(), before)
  }
  t.equal((await eventsAbout(app, id)).length, version)
})

test('another address begins anew, another description does not', async t => {
  const app = await open(t)
  const { db } = app.database
  const { headers } = await aUser(app)
  const { webhook, etag } = await aWebhook(app, headers)
  const { id } = webhook
  const since = new Date(Date.now() - 60_000)
  const ahead = new Date(Date.now() + 60_000)
  const failing = { failing_since: since, paused_until: ahead, due_at: ahead }
  await db.update(webhooks).set(failing).where(eq(webhooks.id, id))
  const seen = await send(app, 'GET', `/${id}`, { ...headers, 'if-none-match': etag })
  t.match(
    seen.json(),
    { failing_since: since.toISOString(), version: 1 },
    'who saw it well has not seen this',
  )
  const tied = { ...headers, 'if-match': etag }
  const described = await send(app, 'PATCH', `/${id}`, tied, { description: 'x' })
  t.match(described.json(), { failing_since: since.toISOString() }, 'but may change it')
  t.match(await rowOf(app, id), failing)
  await send(app, 'PATCH', `/${id}`, headers, { url: 'https://1.1.1.1/' })
  const { failing_since, paused_until, due_at } = await rowOf(app, id)
  t.strictSame([failing_since, paused_until], [null, null])
  t.ok(due_at && due_at <= new Date(), 'what waits is sent')
})

test('a list is newest first, and is walked by number or cursor', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const made: string[] = []
  for (const number of times(5)) {
    const { webhook } = await aWebhook(app, headers, { description: `${number}` })
    made.unshift(webhook.id)
  }
  await aWebhook(app, (await aUser(app)).headers)
  await send(app, 'DELETE', `/${made[1]}`, headers)
  const seen: string[] = []
  for (let query = '?per_page=2'; query !== ''; ) {
    const answer = await send(app, 'GET', query, headers)
    const { data, pagination } = answer.json()
    seen.push(...data.map(({ id }: Headers) => id))
    for (const webhook of data) t.strictSame(Object.keys(webhook).sort(), FIELDS)
    t.match(answer.headers.link, pagination.has_next ? /rel="next"/ : /rel="first"$/)
    query = pagination.has_next ? `?per_page=2&cursor=${pagination.next_cursor}` : ''
  }
  t.strictSame(seen, made.toSpliced(1, 1))
  const second = (await send(app, 'GET', '?per_page=3&page=2', headers)).json()
  t.strictSame([second.data.length, second.data[0].id], [1, made[4]])
  t.match(second.pagination, { page: 2, total: 4, pages: 2, has_next: false, has_prev: true })
  for (const query of ['?cursor=x', `?cursor=${Buffer.from(`items ${made[0]}`).toString('base64url')}`])
    t.match((await send(app, 'GET', query, headers)).json(), { status: 400, code: 'invalid_cursor' })
  t.equal((await send(app, 'GET', '?per_page=101', headers)).statusCode, 400)
})

test('there may be twenty, also when many are made at once', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const many = () => Promise.all(times(30).map(() => send(app, 'POST', '', headers, { url: TARGET })))
  const answers = await many()
  t.strictSame(counted(answers), { 201: MOST_WEBHOOKS, 409: 30 - MOST_WEBHOOKS })
  t.match(answers.find(({ statusCode }) => statusCode === 409)?.json(), { code: 'conflict', detail: /20/ })
  const { data } = (await send(app, 'GET', '?per_page=100', headers)).json()
  t.equal(data.length, MOST_WEBHOOKS)
  t.equal(new Set(answers.map(answer => answer.json().secret)).size, MOST_WEBHOOKS + 1, 'each its own secret')
  await send(app, 'DELETE', `/${data[0].id}`, headers)
  t.strictSame(counted(await many()), { 201: 1, 409: 29 }, 'one that is deleted makes room')
  t.equal((await send(app, 'POST', '', (await aUser(app)).headers, { url: TARGET })).statusCode, 201)
})
