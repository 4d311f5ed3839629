import { eq, sql } from 'drizzle-orm'
import { test } from 'tap'
import { sessions, users } from '../../../src/accounts/tables.ts'
import { build, listen } from '../../helper.ts'
import { bearer, CHEAP, eventsOf, newcomer, post, registered } from './people.ts'

const me = '/api/v1/auth/sessions'

test('registering signs in', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = newcomer()
  const answer = await post(app, '/auth/register', {
    ...person,
    email: person.email.toUpperCase(),
    password_confirm: person.password,
  })
  t.equal(answer.statusCode, 201)
  t.equal(answer.headers['cache-control'], 'no-store')
  const { access_token, refresh_token, user, ...rest } = answer.json()
  t.strictSame(rest, { token_type: 'Bearer', expires_in: 3600, refresh_expires_in: 2_592_000 })
  t.match(user, {
    email: person.email,
    full_name: 'Ada Lovelace',
    role: 'user',
    is_admin: false,
    email_verified: false,
    mfa_enabled: false,
    tier: 'standard',
    version: 1,
  })
  t.notMatch(answer.body, /hash|argon2|totp_secret|correct horse/)
  const list = await app.inject({ url: me, headers: bearer(access_token) })
  t.match(list.json().data, [{ current: true, ip: '127.0.0.1', user_agent: 'lightMyRequest' }])
  t.notMatch(list.body, /hash|secret/)
  t.match(refresh_token, /^plr_/)
  t.strictSame(await eventsOf(app, user.id), ['user.created', 'session.created'])

  const [row] = await app.database.db.select().from(users).where(eq(users.id, user.id))
  t.match(row?.password_hash, /^\$argon2id\$v=19\$m=8192,t=1,p=1\$/)
  const stored = JSON.stringify(
    await app.database.db.select().from(sessions).where(eq(sessions.user_id, user.id)),
  )
  t.notOk(stored.includes(refresh_token) || stored.includes(access_token))
})

test('what cannot be registered is told field by field', async t => {
  const app = await build(t, { variables: { ...CHEAP, PASSWORD_BLOCKLIST: 'true' } })
  const person = await registered(app)
  t.match((await post(app, '/auth/register', { ...newcomer(), email: person.email.toUpperCase() })).json(), {
    status: 409,
    code: 'email_taken',
  })
  const faults = async (fields: object) => {
    const answer = await post(app, '/auth/register', { ...newcomer(), ...fields })
    t.equal(answer.statusCode, 400)
    t.notMatch(answer.body, /12345678|password123/)
    return answer.json().errors.map(({ pointer }: { pointer: string }) => pointer)
  }
  t.strictSame(await faults({ password: 'short' }), ['/password'])
  t.strictSame(await faults({ password: 'x'.repeat(129) }), ['/password'])
  t.strictSame(await faults({ password: 'password123' }), ['/password'])
  t.strictSame(await faults({ password_confirm: 'different' }), ['/password_confirm'])
  t.strictSame(await faults({ email: 'nobody' }), ['/email'])
  t.strictSame(await faults({ first_name: '   ', last_name: 5 }), ['/first_name', '/last_name'])
  t.strictSame(await faults({ role: 'admin' }), ['/role'])
})

test('a closed registration is closed', async t => {
  const app = await build(t, { variables: { ...CHEAP, REGISTRATION_OPEN: 'false' } })
  t.match((await post(app, '/auth/register', newcomer())).json(), {
    status: 403,
    code: 'registration_closed',
  })
})

test('of fifty who register one e-mail at once, one gets it', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = newcomer()
  const answers = await Promise.all(Array.from({ length: 50 }, () => post(app, '/auth/register', person)))
  const statuses = answers.map(({ statusCode }) => statusCode).sort()
  t.strictSame(statuses, [201, ...Array(49).fill(409)])
})

test('a refresh token is good once, and the last one for a while longer', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  const refresh = (refresh_token: string) => post(app, '/auth/refresh', { refresh_token })
  const first = await refresh(person.refresh_token)
  t.equal(first.statusCode, 200)
  t.strictSame(Object.keys(first.json()).sort(), [
    'access_token',
    'expires_in',
    'refresh_expires_in',
    'refresh_token',
    'token_type',
  ])
  t.equal((await app.inject({ url: me, headers: bearer(first.json().access_token) })).statusCode, 200)

  const lost = await refresh(person.refresh_token)
  t.equal(lost.json().refresh_token, first.json().refresh_token, 'an answer that was lost is given again')

  const asBearer = await post(app, '/auth/refresh', {}, bearer(first.json().refresh_token))
  t.equal(asBearer.statusCode, 200)
  const withoutBody = await post(app, '/auth/refresh', undefined, bearer(asBearer.json().refresh_token))
  t.equal(withoutBody.statusCode, 200)

  const old = await refresh(person.refresh_token)
  t.match(old.json(), { status: 401, code: 'refresh_token_reused' })
  t.match(
    (await refresh(withoutBody.json().refresh_token)).json(),
    { code: 'unauthenticated' },
    'all is over',
  )
  t.equal((await app.inject({ url: me, headers: person.headers })).statusCode, 401)
  t.strictSame(await eventsOf(app, person.user.id), [
    'user.created',
    'session.created',
    'session.reuse_detected',
  ])
})

test('after half a minute, the token before is not taken for a lost answer', async t => {
  const app = await build(t, { variables: CHEAP })
  const { refresh_token, user } = await registered(app)
  t.equal((await post(app, '/auth/refresh', { refresh_token })).statusCode, 200)
  await app.database.db
    .update(sessions)
    .set({ rotated_at: sql`now() - interval '31 s'` })
    .where(eq(sessions.user_id, user.id))
  t.match((await post(app, '/auth/refresh', { refresh_token })).json(), { code: 'refresh_token_reused' })
})

test('fifty refreshes with one token all succeed and agree', async t => {
  const app = await build(t, { variables: CHEAP })
  const { refresh_token, headers } = await registered(app)
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => post(app, '/auth/refresh', { refresh_token })),
  )
  t.strictSame([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
  const successors = new Set(answers.map(answer => answer.json().refresh_token))
  t.equal(successors.size, 1, 'one live chain')
  t.equal((await app.inject({ url: me, headers })).json().data.length, 1)
  const next = await post(app, '/auth/refresh', { refresh_token: [...successors][0] })
  t.equal(next.statusCode, 200)
})

test('a forged, foreign or expired refresh token ends nothing', async t => {
  const app = await build(t, { variables: CHEAP })
  const { refresh_token, headers, user } = await registered(app)
  const tampered = `${refresh_token.slice(0, 30)}${refresh_token[30] === 'A' ? 'B' : 'A'}${refresh_token.slice(31)}`
  for (const token of [
    tampered,
    refresh_token.slice(0, -1),
    'plr_x',
    headers.authorization,
    'x'.repeat(1000),
  ]) {
    t.match((await post(app, '/auth/refresh', { refresh_token: token })).json(), { code: 'unauthenticated' })
  }
  t.equal((await post(app, '/auth/refresh', { refresh_token: 'x'.repeat(100_000) })).statusCode, 400)
  t.equal((await post(app, '/auth/refresh', {})).statusCode, 401)
  t.equal((await app.inject({ url: me, headers })).statusCode, 200)
  await app.database.db.update(sessions).set({ expires_at: sql`now()` }).where(eq(sessions.user_id, user.id))
  t.match((await post(app, '/auth/refresh', { refresh_token })).json(), { code: 'unauthenticated' })
})

test('with another key, the tokens of the key before are good while it is named', async t => {
  const old = await build(t, { variables: CHEAP })
  const { refresh_token, headers } = await registered(old)
  const keys = { JWT_SECRET_KEY: 'another key of the tests, also long', ...CHEAP }
  const database = old.database
  const after = await build(t, {
    database,
    variables: { ...keys, JWT_SECRET_KEY_PREVIOUS: old.accounts.config.JWT_SECRET_KEY },
  })
  const without = await build(t, { database, variables: keys })
  t.equal((await without.inject({ url: me, headers })).statusCode, 401)
  t.equal((await post(without, '/auth/refresh', { refresh_token })).statusCode, 401)
  t.equal((await after.inject({ url: me, headers })).statusCode, 200)
  const refreshed = await post(after, '/auth/refresh', { refresh_token })
  t.equal(refreshed.statusCode, 200)
  const token = bearer(refreshed.json().access_token)
  t.equal((await without.inject({ url: me, headers: token })).statusCode, 200, 'new ones are of the new key')
})

test('signing out ends the session at once', async t => {
  const app = await build(t, { variables: CHEAP })
  const { headers, refresh_token, user } = await registered(app)
  t.equal((await post(app, '/auth/logout', undefined, headers)).statusCode, 204)
  t.equal((await app.inject({ url: me, headers })).statusCode, 401)
  t.equal((await post(app, '/auth/refresh', { refresh_token })).statusCode, 401)
  t.equal((await post(app, '/auth/logout', undefined, headers)).statusCode, 401)
  t.equal((await post(app, '/auth/logout')).statusCode, 401)
  t.strictSame(await eventsOf(app, user.id), ['user.created', 'session.created', 'session.revoked'])
})

test('sessions can be looked at and ended one by one, or all but this one', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  const stranger = await registered(app)
  const signIn = async () => {
    const { email, password } = person
    return bearer((await post(app, '/auth/login', { email, password })).json().access_token)
  }
  const [here, phone, laptop] = [await signIn(), await signIn(), await signIn()]
  const list = async () => (await app.inject({ url: me, headers: here })).json().data
  t.strictSame(
    (await list()).map(({ current }: { current: boolean }) => current),
    [false, false, true, false],
  )
  const [laptops] = await list()
  const end = (id: string, headers: Record<string, string>) =>
    app.inject({ method: 'DELETE', url: `${me}/${id}`, headers })
  t.equal((await end(laptops.id, stranger.headers)).statusCode, 404, 'of somebody else')
  t.equal((await end('x', here)).statusCode, 400)
  t.equal((await end(laptops.id, here)).statusCode, 204)
  t.equal((await end(laptops.id, here)).statusCode, 404)
  t.equal((await app.inject({ url: me, headers: laptop })).statusCode, 401)
  t.equal((await app.inject({ url: me, headers: phone })).statusCode, 200)

  t.equal((await app.inject({ method: 'DELETE', url: me, headers: here })).statusCode, 204)
  t.equal((await app.inject({ url: me, headers: phone })).statusCode, 401)
  t.equal((await app.inject({ url: me, headers: person.headers })).statusCode, 401)
  t.equal((await list()).length, 1)
  t.equal((await app.inject({ url: me, headers: stranger.headers })).statusCode, 200)
  t.equal((await eventsOf(app, person.user.id)).filter(type => type === 'session.revoked').length, 3)
})

test('in cookie mode the refresh token is in a cookie and nowhere else', async t => {
  const variables = { ...CHEAP, CORS_ORIGINS: 'https://app.example.com' }
  const { url, app } = await listen(t, { variables })
  const origin = 'https://app.example.com'
  const send = (path: string, body: object | undefined, headers: Record<string, string> = {}) =>
    fetch(`${url}/api/v1/auth/${path}`, {
      method: 'POST',
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
  const person = newcomer()
  const signedUp = await send('register', { ...person, cookie: true })
  const set = signedUp.headers.get('set-cookie') ?? ''
  t.match(
    set,
    /^__Secure-plinth_refresh=plr_[\w-]+; Max-Age=2592000; Path=\/api\/v1\/auth; HttpOnly; Secure; SameSite=Strict$/,
  )
  t.notOk('refresh_token' in ((await signedUp.json()) as object))
  const cookie = set.split(';')[0] ?? ''

  for (const headers of [
    { cookie },
    { cookie, origin: 'https://evil.example' },
    { cookie, origin: 'null' },
  ]) {
    for (const path of ['refresh', 'logout']) {
      const refused = await send(path, undefined, headers)
      t.equal(refused.status, 403)
      t.match(await refused.json(), { code: 'csrf_failed' })
    }
  }
  const refreshed = await send('refresh', undefined, { cookie: `a=b; ${cookie}`, origin })
  t.equal(refreshed.status, 200)
  t.notOk('refresh_token' in ((await refreshed.json()) as object))
  const next = refreshed.headers.get('set-cookie')?.split(';')[0] ?? ''
  t.not(next, cookie)
  t.equal((await send('refresh', undefined, { cookie: next, origin: url })).status, 200, 'a page of our own')

  const out = await send('logout', undefined, { cookie: next, origin })
  t.equal(out.status, 204)
  t.match(out.headers.get('set-cookie'), /^__Secure-plinth_refresh=; Max-Age=0; Path=\/api\/v1\/auth/)
  t.equal((await send('refresh', undefined, { cookie: next, origin })).status, 401)
  t.equal((await send('login', { email: person.email, password: person.password, cookie: true })).status, 200)
  t.ok(app)
})
