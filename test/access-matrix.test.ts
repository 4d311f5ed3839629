import { TOTP } from 'otpauth'
import { test } from 'tap'
import { newApiKey, shownPart } from '../src/accounts/api-key-format.ts'
import { apiKeys } from '../src/accounts/tables.ts'
import type { App } from '../src/app.ts'
import { posts } from '../src/domains/posts/tables.ts'
import { type Role, SCOPES, type Scope } from '../src/lib/access.ts'
import { newId } from '../src/lib/id.ts'
import { sha256 } from '../src/lib/opaque.ts'
import { CHEAP, registered } from './domains/auth/people.ts'
import { aUser, build } from './helper.ts'

/**
 * Who may call what, said a second time and independently of the routes. `everybody`: nobody is asked. `anybody`: nobody
 * need say who they are, but whoever does must be right. `users`: with a session. A scope: those, and keys that have it.
 * `own or admins`: the `id` in the path is the caller's. `author or editors`: the post in the path is the caller's, who
 * may send a key as well. A refresh token is none of what these callers have; a session is ended by itself, or by a
 * refresh token.
 */
type Who =
  | 'a refresh token'
  | 'a session'
  | 'everybody'
  | 'anybody'
  | 'users'
  | Scope
  | 'own or admins'
  | 'author or editors'
  | 'admins'

const table: Record<string, Who> = {
  getHealth: 'everybody',
  getLiveness: 'everybody',
  getReadiness: 'everybody',
  getOpenApi: 'everybody',
  getProblem: 'everybody',
  getMetrics: 'everybody',
  getJwks: 'everybody',

  register: 'everybody',
  login: 'everybody',
  verifyMfa: 'everybody',
  refresh: 'a refresh token',
  verifyEmail: 'everybody',
  forgotPassword: 'everybody',
  resetPassword: 'everybody',
  logout: 'a session',
  resendVerification: 'users',
  listSessions: 'users',
  revokeSession: 'users',
  revokeOtherSessions: 'users',
  enrolTotp: 'users',
  confirmTotp: 'users',
  disableMfa: 'users',
  replaceRecoveryCodes: 'users',
  listApiKeys: 'users',
  createApiKey: 'users',
  getApiKey: 'users',
  updateApiKey: 'users',
  putApiKey: 'users',
  revokeApiKey: 'users',
  rotateApiKey: 'users',

  getRateLimit: 'anybody',

  createUser: 'anybody',
  getMe: 'profile:read',
  updateMe: 'users',
  putMe: 'users',
  deactivateMe: 'users',
  changePassword: 'users',
  changeEmail: 'users',
  listMyActivity: 'users',
  exportMe: 'users',
  listUsers: 'admins',
  getUser: 'own or admins',
  updateUser: 'own or admins',
  putUser: 'own or admins',
  deleteUser: 'admins',
  restoreUser: 'admins',

  listItems: 'items:read',
  getItemStats: 'items:read',
  exportItems: 'items:read',
  getItem: 'items:read',
  createItem: 'items:write',
  updateItem: 'items:write',
  putItem: 'items:write',
  deleteItem: 'items:write',
  publishItem: 'items:write',
  archiveItem: 'items:write',
  restoreItem: 'items:write',
  batchItems: 'items:write',
  importItems: 'items:write',

  listPosts: 'everybody',
  listUserPosts: 'everybody',
  createPost: 'posts:write',
  getPost: 'everybody',
  updatePost: 'author or editors',
  putPost: 'author or editors',
  deletePost: 'author or editors',

  listWebhooks: 'webhooks:read',
  getWebhook: 'webhooks:read',
  listWebhookDeliveries: 'webhooks:read',
  getWebhookDelivery: 'webhooks:read',
  createWebhook: 'webhooks:write',
  updateWebhook: 'webhooks:write',
  putWebhook: 'webhooks:write',
  deleteWebhook: 'webhooks:write',
  enableWebhook: 'webhooks:write',
  disableWebhook: 'webhooks:write',
  rotateWebhookSecret: 'webhooks:write',
  pingWebhook: 'webhooks:write',
  replayWebhookDelivery: 'webhooks:write',
  replayWebhook: 'webhooks:write',

  streamEvents: 'events:read',
  listEvents: 'admins',
  exportEvents: 'admins',
  verifyAudit: 'admins',
  listJobs: 'admins',
  retryJob: 'admins',
  deleteJob: 'admins',
}

interface Operation {
  operationId: string
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
}

type Outcome = 'passes' | 401 | 403

interface Caller {
  name: string
  /** Headers, made anew for each call: some calls end the session that they are made with. */
  call: (app: App) => Promise<{ headers: Record<string, string>; id: string }>
  /** Whether the `id` in the path is to be the caller's own. */
  own?: true
  outcome: (who: Who) => Outcome
}

const session = (role: Role) => async (app: App) => aUser(app, role)

const key = (role: Role, scopes: readonly Scope[]) => async (app: App) => {
  const { id } = await aUser(app, role)
  const text = newApiKey()
  const values = {
    user_id: id,
    name: 'x',
    prefix: shownPart(text),
    key_hash: sha256(text),
    scopes: [...scopes],
  }
  await app.database.db.insert(apiKeys).values(values)
  return { id, headers: { 'x-api-key': text } }
}

const bearer = (token: string) => async () => ({ id: newId(), headers: { authorization: `Bearer ${token}` } })

const isPublic = (who: Who) => who === 'everybody' || who === 'anybody'
const isScope = (who: Who): who is Scope => SCOPES.includes(who as Scope)

function asUser(who: Who): Outcome {
  if (who === 'a refresh token') return 401
  return who === 'admins' || who === 'own or admins' || who === 'author or editors' ? 403 : 'passes'
}
const asAuthor = (who: Who): Outcome =>
  who === 'own or admins' || who === 'author or editors' ? 'passes' : asUser(who)
const asEditor = (who: Who): Outcome => (who === 'author or editors' ? 'passes' : asUser(who))
const asKey =
  (scopes: readonly Scope[], role: Role = 'user') =>
  (who: Who): Outcome => {
    if (who === 'a refresh token' || who === 'a session') return 401
    if (who === 'author or editors') return scopes.includes('posts:write') && role !== 'user' ? 'passes' : 403
    return isPublic(who) || (isScope(who) && scopes.includes(who)) ? 'passes' : 403
  }
const asNobody = (who: Who): Outcome => (isPublic(who) ? 'passes' : 401)
const asImpostor = (who: Who): Outcome => (who === 'everybody' ? 'passes' : 401)

/** Two, so that every route with a scope refuses at least one of them. */
const UNRELATED = ['profile:read', 'webhooks:read'] as const

const callers = (pendingToken: string): Caller[] => [
  { name: 'nobody', call: async () => ({ id: newId(), headers: {} }), outcome: asNobody },
  { name: 'a user, of what is another’s', call: session('user'), outcome: asUser },
  {
    name: 'a user, of their own',
    call: session('user'),
    own: true,
    outcome: asAuthor,
  },
  { name: 'an editor', call: session('editor'), outcome: asEditor },
  { name: 'an admin', call: session('admin'), outcome: who => (who === 'a refresh token' ? 401 : 'passes') },
  { name: 'a key with every scope', call: key('user', SCOPES), outcome: asKey(SCOPES) },
  ...UNRELATED.map(scope => ({
    name: `a key for ${scope} alone`,
    call: key('user', [scope]),
    outcome: asKey([scope]),
  })),
  { name: 'an editor’s key', call: key('editor', SCOPES), outcome: asKey(SCOPES, 'editor') },
  { name: 'an admin’s key', call: key('admin', SCOPES), outcome: asKey(SCOPES) },
  { name: 'who has yet to send a code', call: bearer(pendingToken), outcome: asImpostor },
  { name: 'a forged token', call: bearer('x.y.z'), outcome: asImpostor },
]

test('every operation lets in whom it should, and nobody else', async t => {
  const app = await build(t, { variables: CHEAP })
  const operations = await operationsOf(app)
  t.strictSame(
    operations.map(({ operationId }) => operationId).sort(),
    Object.keys(table).sort(),
    'each operation is in the table',
  )
  for (const caller of callers(await pendingToken(app))) {
    for (const operation of operations) {
      const who = table[operation.operationId]
      if (who === undefined) continue
      const { headers, id } = await caller.call(app)
      const isPost = who === 'author or editors'
      const author = isPost && !caller.own ? (await aUser(app)).id : id
      const subject = isPost ? await aPost(app, author) : caller.own ? id : newId()
      const answer = await app.inject({
        method: operation.method,
        url: operation.path.replace(/\{\w+\}/g, subject),
        headers: { ...headers, ...NO_STREAM },
        // Whose it is, only the handler knows, which wants to be reached.
        ...(isPost && operation.method !== 'DELETE' && { payload: {} }),
      })
      const expected = caller.outcome(who)
      const name = `${caller.name}: ${operation.operationId}`
      t.equal(outcomeOf(answer), expected, name)
      t.ok(answer.statusCode < 500, `${name} is no fault of ours`)
    }
  }
})

/** Whoever is let in to an answer that never ends is told that this is no id, so that nobody waits for the end. */
const NO_STREAM = { 'last-event-id': 'x' }

/** What a handler refuses comes after: only the guard's own refusals count. */
function outcomeOf({ statusCode, body }: { statusCode: number; body: string }): Outcome {
  const refusal = /"code":"(unauthenticated|forbidden|insufficient_scope)"/.test(body)
  return refusal && (statusCode === 401 || statusCode === 403) ? statusCode : 'passes'
}

async function aPost({ database: { db } }: App, author_id: string): Promise<string> {
  const id = newId()
  await db.insert(posts).values({ id, author_id, title: 'x', content: 'x' })
  return id
}

async function operationsOf(app: App): Promise<Operation[]> {
  const { paths } = (await app.inject('/openapi.json')).json()
  return Object.entries<Record<string, { operationId: string }>>(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { operationId }]) => ({
      operationId,
      method: method.toUpperCase() as Operation['method'],
      path,
    })),
  )
}

/** A real one: the account has MFA, and the password was right. */
async function pendingToken(app: App): Promise<string> {
  const { email, password, headers } = await registered(app)
  const { secret } = (await app.inject({ method: 'POST', url: '/api/v1/auth/mfa/totp', headers })).json()
  const code = new TOTP({ secret }).generate()
  await app.inject({ method: 'POST', url: '/api/v1/auth/mfa/totp/confirm', headers, payload: { code } })
  const payload = { email, password }
  const { mfa_token } = (await app.inject({ method: 'POST', url: '/api/v1/auth/login', payload })).json()
  if (typeof mfa_token !== 'string') throw new Error('The account should ask for a code.')
  return mfa_token
}
