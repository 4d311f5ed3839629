import { TOTP } from 'otpauth'
import { test } from 'tap'
import { newId } from '../src/lib/id.ts'
import { documentedApi } from './documented.ts'
import { bearer, CHEAP, newcomer } from './domains/auth/people.ts'
import { anItem } from './domains/items/calls.ts'
import { send } from './domains/webhooks/calls.ts'
import { aTarget, deliver, open as openNearby } from './domains/webhooks/delivering.ts'
import { resolveForTests } from './domains/webhooks/targets.ts'
import { aUser, build } from './helper.ts'
import { tokenTo } from './mail/letters.ts'

// Real answers against the document: is each status listed, and does each body have the shape that clients expect?

const answered = new Set<string>()

test('signing in and out', async t => {
  const app = await build(t, { variables: CHEAP })
  const { call } = await documentedApi(app, answered)
  const person = newcomer()
  const { email, password } = person
  await call(t, 'register', 400, { payload: { email: 'x', color: 'red' } })
  await call(t, 'register', 201, { payload: { ...person, cookie: true } })
  await call(t, 'register', 409, { payload: person })
  await call(t, 'verifyEmail', 401, { payload: { token: 'x' } })
  await call(t, 'verifyEmail', 204, { payload: { token: await tokenTo(app, email, 'verify-email') } })
  await call(t, 'forgotPassword', 202, { payload: { email } })
  await call(t, 'resetPassword', 401, { payload: { token: 'x', password } })
  await call(t, 'login', 401, { payload: { email, password: 'wrong' } })
  await call(t, 'login', 200, { payload: { email, password, cookie: true } })
  const { access_token, refresh_token } = (
    await call(t, 'login', 200, { payload: { email, password } })
  ).json()
  await call(t, 'refresh', 200, { payload: { refresh_token } })
  await call(t, 'refresh', 200, { headers: bearer(refresh_token) })
  await call(t, 'refresh', 401)
  const headers = bearer(access_token)
  await call(t, 'resendVerification', 204, { headers })
  const { data } = (await call(t, 'listSessions', 200, { headers })).json()
  t.equal(data.length, 3)
  const other = data.find(({ current }: { current: boolean }) => !current)
  await call(t, 'revokeSession', 204, { headers, path: { id: other.id } })
  await call(t, 'revokeSession', 404, { headers, path: { id: newId() } })
  await call(t, 'revokeSession', 400, { headers, path: { id: 'x' } })
  await call(t, 'revokeOtherSessions', 400, { headers, payload: { foo: 1 } })
  await call(t, 'revokeOtherSessions', 204, { headers, payload: {} })
  await call(t, 'logout', 400, { headers, payload: { foo: 1 } })
  await call(t, 'logout', 204, { headers })
  await call(t, 'logout', 401)
})

test('a second factor', async t => {
  const app = await build(t, { variables: CHEAP })
  const { call } = await documentedApi(app, answered)
  const person = newcomer()
  const { email, password } = person
  const headers = bearer((await call(t, 'register', 201, { payload: person })).json().access_token)
  await call(t, 'confirmTotp', 409, { headers, payload: { code: '123456' } })
  const { secret } = (await call(t, 'enrolTotp', 200, { headers })).json()
  await call(t, 'confirmTotp', 400, { headers, payload: { code: 'x' } })
  const code = new TOTP({ secret }).generate()
  const confirmed = await call(t, 'confirmTotp', 200, { headers, payload: { code } })
  await call(t, 'enrolTotp', 409, { headers })
  const { mfa_token } = (await call(t, 'login', 200, { payload: { email, password } })).json()
  await call(t, 'verifyMfa', 401, { payload: { mfa_token, code: 'x' } })
  const [recovery] = confirmed.json().recovery_codes
  await call(t, 'verifyMfa', 200, { payload: { mfa_token, code: recovery } })
  await call(t, 'replaceRecoveryCodes', 200, { headers, payload: { password } })
  await call(t, 'disableMfa', 401, { headers, payload: { password: 'wrong' } })
  await call(t, 'disableMfa', 204, { headers, payload: { password } })
})

test('API keys', async t => {
  const app = await build(t)
  const { call } = await documentedApi(app, answered)
  const { headers } = await aUser(app)
  const payload = { name: 'CI', scopes: ['profile:read'] }
  await call(t, 'createApiKey', 400, { headers, payload: { ...payload, scopes: ['all'] } })
  const made = (await call(t, 'createApiKey', 201, { headers, payload })).json()
  const path = { id: made.id }
  await call(t, 'createApiKey', 403, { headers: { 'x-api-key': made.key }, payload })
  await call(t, 'getMe', 200, { headers: { 'x-api-key': made.key } })
  await call(t, 'listApiKeys', 200, { headers })
  await call(t, 'getApiKey', 200, { headers, path })
  await call(t, 'getApiKey', 404, { headers, path: { id: newId() } })
  const expires_at = new Date(Date.now() + 3_600_000).toISOString()
  await call(t, 'updateApiKey', 200, { headers, path, payload: { expires_at } })
  await call(t, 'putApiKey', 200, { headers, path, payload: { scopes: ['items:read'] } })
  await call(t, 'getMe', 403, { headers: { 'x-api-key': made.key } })
  await call(t, 'rotateApiKey', 200, { headers, path, payload: { overlap_seconds: 60 } })
  await call(t, 'rotateApiKey', 200, { headers, path })
  await call(t, 'revokeApiKey', 204, { headers, path })
  await call(t, 'revokeApiKey', 404, { headers, path })
})

test('the quota', async t => {
  const app = await build(t, {
    variables: { RATELIMIT_ENABLED: 'true', RATELIMIT_DEFAULT: '2/minute; 100/hour' },
  })
  const { call } = await documentedApi(app, answered)
  await call(t, 'getRateLimit', 200)
  await call(t, 'getRateLimit', 200, { headers: (await aUser(app)).headers })
  await call(t, 'getRateLimit', 401, { headers: { authorization: 'Bearer x' } })
  await call(t, 'listPosts', 200)
  await call(t, 'listPosts', 429)
})

test('one’s own account', async t => {
  const app = await build(t, { variables: CHEAP })
  const { call } = await documentedApi(app, answered)
  const person = newcomer()
  const { password } = person
  const headers = bearer((await call(t, 'register', 201, { payload: person })).json().access_token)
  await call(t, 'getMe', 401)
  const { etag } = (await call(t, 'getMe', 200, { headers })).headers
  await call(t, 'getMe', 304, { headers: { ...headers, 'if-none-match': `W/${etag}` } })
  await call(t, 'getMe', 412, { headers: { ...headers, 'if-match': '"x"' } })
  await call(t, 'putMe', 412, { headers: { ...headers, 'if-none-match': String(etag) }, payload: {} })
  await call(t, 'updateMe', 400, { headers, payload: { role: 'admin' } })
  await call(t, 'updateMe', 200, { headers, payload: { first_name: 'Augusta' } })
  await call(t, 'putMe', 200, { headers, payload: { last_name: 'King' } })
  await call(t, 'changeEmail', 401, { headers, payload: { email: newcomer().email, password: 'wrong' } })
  await call(t, 'changeEmail', 202, { headers, payload: { email: newcomer().email, password } })
  const new_password = 'another correct horse'
  await call(t, 'changePassword', 204, { headers, payload: { current_password: password, new_password } })
  await call(t, 'listMyActivity', 400, { headers, query: { cursor: 'x' } })
  await call(t, 'listMyActivity', 200, { headers, query: { per_page: '1' } })
  await call(t, 'exportMe', 200, { headers })
  await call(t, 'deactivateMe', 401, { headers, payload: { password } })
  await call(t, 'deactivateMe', 204, { headers, payload: { password: new_password } })
})

test('items', async t => {
  const app = await build(t)
  const { call } = await documentedApi(app, answered)
  const [{ id: user_id, headers }, other] = [await aUser(app), await aUser(app)]
  const payload = { title: 'Lamp', price: 12.5, metadata: { color: 'red' } }
  await call(t, 'createItem', 401, { payload })
  await call(t, 'createItem', 400, { headers, payload: { price: '1.234' } })
  const made = await call(t, 'createItem', 201, { headers, payload })
  const path = { id: made.json().id }
  const etag = String(made.headers.etag)
  await call(t, 'getItem', 200, { headers, path })
  await call(t, 'getItem', 304, { path, headers: { ...headers, 'if-none-match': etag } })
  await call(t, 'getItem', 404, { path, headers: other.headers })
  await call(t, 'updateItem', 200, { headers, path, payload: { description: 'Brass.' } })
  await call(t, 'putItem', 412, { path, headers: { ...headers, 'if-match': etag }, payload: {} })
  await call(t, 'putItem', 200, { headers, path, payload: { description: null } })
  await call(t, 'publishItem', 200, { headers, path })
  await call(t, 'archiveItem', 200, { headers, path })
  await call(t, 'archiveItem', 400, { headers, path, payload: { foo: 1 } })
  await call(t, 'createItem', 201, { headers, payload: { title: 'Lampshade' } })
  const page = (await call(t, 'listItems', 200, { headers, query: { per_page: '1' } })).json()
  await call(t, 'listItems', 200, { headers, query: { cursor: page.pagination.next_cursor } })
  await call(t, 'listItems', 200, { headers, query: { fields: 'title,metadata', 'metadata.color': 'red' } })
  await call(t, 'listItems', 400, { headers, query: { cursor: 'x' } })
  await call(t, 'listItems', 403, { headers: other.headers, query: { user_id } })
  await call(t, 'getItemStats', 200, { headers })
  await call(t, 'exportItems', 200, { headers, query: { search: 'lamp' } })
  await call(t, 'exportItems', 403, { headers: other.headers, query: { user_id } })
  const ndjson = { 'content-type': 'application/x-ndjson' }
  await call(t, 'importItems', 200, { headers: { ...headers, ...ndjson }, payload: { title: 'Bulb' } })
  await call(t, 'importItems', 200, { headers: { ...headers, ...ndjson }, payload: { title: '' } })
  const operations = [
    { op: 'delete', id: newId() },
    { op: 'create', data: { title: 5 } },
  ]
  await call(t, 'batchItems', 400, { headers, payload: { operations: [] } })
  await call(t, 'batchItems', 422, { headers, payload: { operations } })
  await call(t, 'batchItems', 200, { headers, payload: { operations, atomic: false } })
  await call(t, 'batchItems', 200, { headers, payload: { operations: [{ op: 'create', data: payload }] } })
  await call(t, 'deleteItem', 204, { headers, path })
  await call(t, 'deleteItem', 404, { headers, path })
  await call(t, 'restoreItem', 200, { headers, path })
  await call(t, 'restoreItem', 404, { path, headers: other.headers })
})

test('posts', async t => {
  const app = await build(t)
  const { call } = await documentedApi(app, answered)
  const [{ id, headers }, other] = [await aUser(app), await aUser(app)]
  const payload = { title: 'On lamps', content: 'They give light.' }
  await call(t, 'createPost', 401, { payload })
  await call(t, 'createPost', 400, { headers, payload: { title: '' } })
  const made = await call(t, 'createPost', 201, { headers, payload })
  await call(t, 'createPost', 201, { headers: { ...headers, 'idempotency-key': 'second' }, payload })
  const path = { id: made.json().id }
  const etag = String(made.headers.etag)
  await call(t, 'getPost', 200, { path })
  await call(t, 'getPost', 304, { path, headers: { 'if-none-match': etag } })
  await call(t, 'getPost', 404, { path: { id: newId() } })
  await call(t, 'updatePost', 403, { path, headers: other.headers, payload: {} })
  await call(t, 'updatePost', 200, { path, headers, payload: { title: 'On old lamps' } })
  await call(t, 'putPost', 412, { path, headers: { ...headers, 'if-match': etag }, payload: {} })
  await call(t, 'putPost', 200, { path, headers, payload: { content: 'No more.' } })
  const page = (await call(t, 'listPosts', 200, { query: { per_page: '1', search: 'LAMPS' } })).json()
  await call(t, 'listPosts', 200, { query: { cursor: page.pagination.next_cursor, author_id: id } })
  await call(t, 'listPosts', 400, { query: { cursor: 'x' } })
  await call(t, 'listUserPosts', 200, { path: { id } })
  await call(t, 'listUserPosts', 200, { path: { id: other.id }, query: { search: 'lamps' } })
  await call(t, 'listUserPosts', 404, { path })
  await call(t, 'deletePost', 403, { path, headers: other.headers })
  await call(t, 'deletePost', 204, { path, headers })
  await call(t, 'deletePost', 404, { path, headers })
})

test('webhooks', async t => {
  const app = await build(t, { resolve: resolveForTests })
  const { call } = await documentedApi(app, answered)
  const [{ headers }, other] = [await aUser(app), await aUser(app)]
  const payload = { url: 'https://public.example/', types: ['item.*'] }
  await call(t, 'createWebhook', 401, { payload })
  await call(t, 'createWebhook', 400, { headers, payload: { url: 'http://127.0.0.1/', types: ['x.y'] } })
  await call(t, 'createWebhook', 403, { headers, payload: { ...payload, scope: 'all' } })
  const made = await call(t, 'createWebhook', 201, { headers, payload })
  await call(t, 'createWebhook', 201, { headers: { ...headers, 'idempotency-key': 'second' }, payload })
  const path = { id: made.json().id }
  const etag = String(made.headers.etag)
  const page = (await call(t, 'listWebhooks', 200, { headers, query: { per_page: '1' } })).json()
  await call(t, 'listWebhooks', 200, { headers, query: { cursor: page.pagination.next_cursor } })
  await call(t, 'listWebhooks', 400, { headers, query: { cursor: 'x' } })
  await call(t, 'getWebhook', 200, { headers, path })
  await call(t, 'getWebhook', 304, { path, headers: { ...headers, 'if-none-match': etag } })
  await call(t, 'getWebhook', 404, { path, headers: other.headers })
  await call(t, 'updateWebhook', 403, { headers, path, payload: { scope: 'all' } })
  await call(t, 'updateWebhook', 200, { headers, path, payload: { description: 'For the till.' } })
  await call(t, 'putWebhook', 412, { path, headers: { ...headers, 'if-match': etag }, payload: {} })
  await call(t, 'putWebhook', 200, { headers, path, payload: { description: null } })
  const delivery_id = (await call(t, 'pingWebhook', 202, { headers, path })).json().id
  const delivery = { ...path, delivery_id }
  await call(t, 'listWebhookDeliveries', 200, { headers, path, query: { status: 'pending' } })
  await call(t, 'listWebhookDeliveries', 400, { headers, path, query: { cursor: 'x' } })
  await call(t, 'getWebhookDelivery', 200, { headers, path: delivery })
  await call(t, 'getWebhookDelivery', 404, { headers, path: { ...path, delivery_id: newId() } })
  await call(t, 'replayWebhookDelivery', 202, { headers, path: delivery })
  const from = '2026-01-01T00:00:00Z'
  await call(t, 'replayWebhook', 202, { headers, path, payload: { from } })
  await call(t, 'replayWebhook', 400, { headers, path, payload: { from: 'yesterday' } })
  await call(t, 'rotateWebhookSecret', 200, { headers, path })
  await call(t, 'rotateWebhookSecret', 404, { path, headers: other.headers })
  await call(t, 'disableWebhook', 200, { headers, path })
  await call(t, 'pingWebhook', 409, { headers, path })
  await call(t, 'replayWebhook', 409, { headers, path, payload: { from } })
  await call(t, 'replayWebhookDelivery', 409, { headers, path: delivery })
  await call(t, 'enableWebhook', 200, { headers, path })
  await call(t, 'enableWebhook', 400, { headers, path, payload: { foo: 1 } })
  await call(t, 'exportMe', 200, { headers })
  await call(t, 'deleteWebhook', 412, { path, headers: { ...headers, 'if-match': etag } })
  await call(t, 'deleteWebhook', 204, { headers, path })
  await call(t, 'deleteWebhook', 404, { headers, path })
})

test('messages to webhooks', async t => {
  const app = await openNearby(t)
  const { sent } = await documentedApi(app)
  deliver(t, app.database)
  const { receiver, owner, webhook } = await aTarget(t, app)
  await anItem(app, owner.headers)
  await receiver.arrived(1)
  t.equal((await send(app, 'POST', `/${webhook.id}/ping`, owner.headers)).statusCode, 202)
  const messages = await receiver.arrived(2)
  for (const message of messages) sent(t, 'event', message)
  t.strictSame(
    messages.map(({ body }) => JSON.parse(body).type),
    ['item.created', 'webhook.ping'],
  )
})

test('users and events, for administrators', async t => {
  const app = await build(t, { variables: CHEAP })
  const { call } = await documentedApi(app, answered)
  const { headers } = await aUser(app, 'admin')
  const other = await aUser(app)
  await call(t, 'createUser', 403, { payload: { ...newcomer(), role: 'admin' } })
  await call(t, 'createUser', 201, { payload: newcomer() })
  const path = { id: (await call(t, 'createUser', 201, { headers, payload: newcomer() })).json().id }
  await call(t, 'listUsers', 403, { headers: other.headers })
  await call(t, 'listUsers', 400, { headers, query: { sort_by: 'password_hash' } })
  const page = (await call(t, 'listUsers', 200, { headers, query: { per_page: '1' } })).json()
  await call(t, 'listUsers', 200, { headers, query: { cursor: page.pagination.next_cursor } })
  await call(t, 'getUser', 200, { headers, path })
  await call(t, 'getUser', 200, { headers: other.headers, path: { id: other.id } })
  await call(t, 'getUser', 403, { headers: other.headers, path })
  await call(t, 'getUser', 404, { headers, path: { id: newId() } })
  await call(t, 'updateUser', 409, { headers, path, payload: { email: other.email } })
  await call(t, 'updateUser', 200, { headers, path, payload: { tier: 'premium' } })
  await call(t, 'putUser', 200, { headers, path, payload: { role: 'editor' } })
  await call(t, 'deleteUser', 204, { headers, path })
  await call(t, 'getUser', 200, { headers, path })
  await call(t, 'restoreUser', 400, { headers, path, payload: { foo: 1 } })
  await call(t, 'restoreUser', 200, { headers, path })
  await call(t, 'listEvents', 401)
  await call(t, 'listEvents', 200, { headers, query: { type: 'user.*' } })
  await call(t, 'exportEvents', 200, { headers })
  await call(t, 'verifyAudit', 200, { headers })
  await call(t, 'listJobs', 200, { headers, query: { state: 'created' } })
  await call(t, 'retryJob', 404, { headers, path: { id: newId() } })
})

test('each operation that answers with something about users was asked', async t => {
  const { unanswered } = await documentedApi(await build(t), answered)
  t.strictSame(unanswered('auth', 'users', 'items', 'posts', 'webhooks', 'audit'), [])
})
