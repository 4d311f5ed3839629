import { Type } from '@sinclair/typebox'
import { eq } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { newApiKey, shownPart } from '../../src/accounts/api-key-format.ts'
import { apiKeys, sessions } from '../../src/accounts/tables.ts'
import type { App } from '../../src/app.ts'
import { ADMINS, type Scope } from '../../src/lib/access.ts'
import { sha256 } from '../../src/lib/opaque.ts'
import { Unavailable } from '../../src/lib/problems.ts'
import { aUser, build, probe, recordingLogger, signedIn } from '../helper.ts'

const read = 'items:read' as const

async function open(t: Test, options: Parameters<typeof build>[1] = {}) {
  return build(t, {
    ...options,
    routes: async app => {
      app.get('/admins', { ...probe('getAdmins'), config: { access: ADMINS } }, async ({ user, actor }) => ({
        user,
        actor,
      }))
      app.get(
        '/anybody',
        { ...probe('getAnybody'), config: { access: {} } },
        // Compiles only because the access says that there is a session.
        async ({ user }) => ({ id: user.id, session: user.session_id.length }),
      )
      app.get(
        '/scoped',
        { ...probe('getScoped'), config: { access: { scope: read } } },
        async ({ user, actor }) => ({ id: user.id, actor }),
      )
      app.get(
        '/early',
        { ...probe('getEarly'), config: { access: { unverified: true } } },
        async ({ user }) => ({ id: user.id }),
      )
      const params = Type.Object({ id: Type.String() })
      app.get(
        '/own/:id',
        { ...probe('getOwn', { params }), config: { access: { roles: ['admin'], self: true } } },
        async ({ user }) => ({ id: user.id }),
      )
      app.get('/open', probe('getOpen'), async request => {
        // @ts-expect-error: on a public route there may be nobody
        const id = () => request.user.id
        return { user: request.user, actor: request.actor, id: id.length }
      })
      app.get('/optional', { ...probe('getOptional'), config: { access: 'optional' } }, async ({ user }) => ({
        id: user?.id ?? null,
      }))
      app.get(
        '/tolerant',
        { ...probe('getTolerant'), config: { access: 'optional', badToken: 'ignored' } },
        async ({ user }) => ({ id: user?.id ?? null }),
      )
      app.get(
        '/early/:id',
        {
          ...probe('getEarlyOwn', { params }),
          config: { access: { roles: ['admin'], self: true, unverified: 'self' } },
        },
        async ({ user }) => ({ id: user.id }),
      )
    },
  })
}

async function keyOf(app: App, user_id: string, scopes: Scope[]) {
  const key = newApiKey()
  const facts = { name: 'test', prefix: shownPart(key), key_hash: sha256(key), scopes }
  await app.database.db.insert(apiKeys).values({ user_id, ...facts })
  return key
}

test('a good token lets its holder in, and says who acts', async t => {
  const log = recordingLogger()
  const app = await open(t, { logger: log.logger })
  const admin = await aUser(app, 'admin')
  const answer = await app.inject({ url: '/admins', headers: admin.headers })
  t.equal(answer.statusCode, 200)
  t.match(answer.json(), {
    user: { id: admin.id, role: 'admin', session_id: admin.session_id, scopes: null },
    actor: { type: 'user', id: admin.id, origin: { ip: '127.0.0.1', user_agent: 'lightMyRequest' } },
  })
  t.equal(answer.json().actor.origin.request_id, answer.headers['x-request-id'])
  t.equal(answer.headers['cache-control'], 'private, no-store')
  t.match(
    log.lines().find(({ msg }) => msg === 'request'),
    { user_id: admin.id, operation_id: 'getAdmins' },
  )
  t.notMatch(log.text(), /eyJ/, 'no part of a token is logged')
  const wordy = { ...admin.headers, 'user-agent': 'x'.repeat(2000) }
  const { actor } = (await app.inject({ url: '/admins', headers: wordy })).json()
  t.equal(actor.origin.user_agent.length, 500)
})

test('on a public route nobody is asked; on an optional one, only a good token will do', async t => {
  const app = await open(t)
  const headers = { authorization: 'Bearer nonsense' }
  t.match((await app.inject({ url: '/open', headers })).json(), {
    user: null,
    actor: { type: 'anonymous', id: null },
  })
  t.match((await app.inject({ url: '/optional', headers })).json(), { code: 'unauthenticated' })
  t.strictSame((await app.inject('/optional')).json(), { id: null })
  const user = await aUser(app)
  t.strictSame((await app.inject({ url: '/optional', headers: user.headers })).json(), { id: user.id })
})

test('everything that is no good credential is 401, and says no more', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const token = headers.authorization.slice('Bearer '.length)
  const bad: Record<string, Record<string, string>> = {
    nothing: {},
    'no scheme': { authorization: token },
    'another scheme': { authorization: `Basic ${token}` },
    'no token': { authorization: 'Bearer ' },
    garbage: { authorization: 'Bearer x.y.z' },
    'cut off': { authorization: `Bearer ${token.slice(0, -3)}` },
    'a key that is none': { 'x-api-key': 'plk_0' },
    'an unknown key': { 'x-api-key': newApiKey() },
    'a token in the place of a key': { 'x-api-key': `Bearer ${token}` },
    'a good key beside a bad token': { authorization: 'Bearer x', 'x-api-key': newApiKey() },
  }
  for (const [name, credentials] of Object.entries(bad)) {
    const answer = await app.inject({ url: '/anybody', headers: credentials })
    t.match(answer.json(), { status: 401, code: 'unauthenticated' }, name)
    t.equal(answer.headers['www-authenticate'], 'Bearer', name)
  }
})

test('a token of 100 kB is 401 like any other, and nothing of it is logged', async t => {
  const log = recordingLogger()
  const app = await open(t, { logger: log.logger })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const authorization = `Bearer ${'abcdefghij'.repeat(10_000)}`
  const answer = await fetch(`${url}/anybody`, { headers: { authorization } })
  t.equal(answer.status, 401)
  t.match(await answer.json(), { code: 'unauthenticated' })
  t.notMatch(log.text(), /abcdefghijabcdefghij/)
})

test('a role that the route does not name is 403', async t => {
  const app = await open(t)
  for (const role of ['user', 'editor'] as const) {
    const answer = await app.inject({ url: '/admins', headers: await signedIn(app, role) })
    t.match(answer.json(), { code: 'forbidden', status: 403 })
  }
})

test('what is one’s own needs no role', async t => {
  const app = await open(t)
  const [user, other] = [await aUser(app), await aUser(app)]
  const status = async (id: string, headers: Record<string, string>) =>
    (await app.inject({ url: `/own/${id}`, headers })).statusCode
  t.equal(await status(user.id, user.headers), 200)
  t.equal(await status(user.id.toUpperCase(), user.headers), 200)
  t.equal(await status(other.id, user.headers), 403)
  t.equal(await status(other.id, await signedIn(app)), 200)
})

test('an API key does what its scopes say, and no more', async t => {
  const app = await open(t)
  const owner = await aUser(app, 'admin')
  const good = await keyOf(app, owner.id, [read])
  const other = await keyOf(app, owner.id, ['posts:write'])
  const get = (url: string, key: string) => app.inject({ url, headers: { 'x-api-key': key } })
  t.match((await get('/scoped', good)).json(), { id: owner.id, actor: { type: 'api_key' } })
  const asBearer = { authorization: `Bearer ${good}` }
  t.equal((await app.inject({ url: '/scoped', headers: asBearer })).statusCode, 200)
  t.match((await get('/scoped', other)).json(), { status: 403, code: 'insufficient_scope' })
  for (const url of ['/anybody', '/admins', `/own/${owner.id}`]) {
    t.match((await get(url, good)).json(), { status: 403, code: 'forbidden' }, url)
  }
  t.equal((await app.inject({ url: '/scoped', headers: owner.headers })).statusCode, 200, 'a session has all')
  await app.database.db.delete(apiKeys).where(eq(apiKeys.user_id, owner.id))
})

test('where it is wanted, the e-mail comes first', async t => {
  const app = await open(t, { variables: { REQUIRE_VERIFIED_EMAIL: 'true' } })
  const fresh = await aUser(app)
  const verified = await aUser(app, 'user', { email_verified: true })
  t.match((await app.inject({ url: '/anybody', headers: fresh.headers })).json(), {
    status: 403,
    code: 'email_unverified',
  })
  t.equal((await app.inject({ url: '/early', headers: fresh.headers })).statusCode, 200)
  t.equal((await app.inject({ url: '/anybody', headers: verified.headers })).statusCode, 200)
})

test('where a bad token counts as none, a good one still counts, and a database that is away is no bad token', async t => {
  const app = await open(t)
  const user = await aUser(app)
  const get = (headers: Record<string, string>) => app.inject({ url: '/tolerant', headers })
  t.strictSame((await get({})).json(), { id: null })
  t.strictSame((await get(user.headers)).json(), { id: user.id })
  for (const headers of [{ authorization: 'Bearer x' }, { authorization: 'x' }, { 'x-api-key': 'plk_0' }]) {
    t.strictSame((await get(headers as Record<string, string>)).json(), { id: null })
  }
  await app.database.db.delete(sessions).where(eq(sessions.id, user.session_id))
  const { headers } = await aUser(app)
  t.intercept(app.accounts.principals, 'ofSession', {
    value: () => Promise.reject(new Unavailable('The database is away.')),
  })
  t.equal((await get(headers)).statusCode, 503)
})

test('with an e-mail that is not verified, some of what is one’s own is open, of others’ nothing', async t => {
  const app = await open(t, { variables: { REQUIRE_VERIFIED_EMAIL: 'true' } })
  const [admin, other] = [await aUser(app, 'admin'), await aUser(app)]
  const get = async (id: string, { headers }: typeof admin) =>
    (await app.inject({ url: `/early/${id}`, headers })).json()
  t.match(await get(other.id, other), { id: other.id })
  t.match(await get(admin.id.toUpperCase(), admin), { id: admin.id })
  t.match(await get(other.id, admin), { status: 403, code: 'email_unverified' })
  t.match(await get(admin.id, other), { status: 403, code: 'forbidden' })
})
