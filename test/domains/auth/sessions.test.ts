import { eq, sql } from 'drizzle-orm'
import { test } from 'tap'
import { sessions, users } from '../../../src/accounts/tables.ts'
import type { App } from '../../../src/app.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser, build, listen } from '../../helper.ts'
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
  t.equal((await post(app, '/auth/refresh', { refresh_token: 'x'.repeat(15_000) })).statusCode, 400)
  t.equal((await post(app, '/auth/refresh', { refresh_token: 'x'.repeat(100_000) })).statusCode, 413)
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

test('the list of sessions is walked by cursor', async t => {
  const app = await build(t, { variables: CHEAP })
  const person = await registered(app)
  const stranger = await registered(app)
  const { db } = app.database
  const row = { user_id: person.user.id, secret_hash: Buffer.alloc(32) }
  const expires_at = new Date(Date.now() + 60_000)
  await db.insert(sessions).values(Array.from({ length: 4 }, () => ({ ...row, expires_at })))
  await db.insert(sessions).values({ ...row, expires_at: new Date(Date.now() - 1) })
  const page = async (query: string) => app.inject({ url: `${me}${query}`, headers: person.headers })
  const whole = await page('')
  t.strictSame(whole.json().pagination, { per_page: 20, has_next: false, next_cursor: null })
  t.equal(whole.headers.link, '</api/v1/auth/sessions>; rel="first"')
  const ids = whole.json().data.map(({ id }: { id: string }) => id)
  t.equal(ids.length, 5)
  t.strictSame(ids, [...ids].sort().reverse(), 'newest first')

  const seen: { id: string; current: boolean }[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const answer = await page(`?per_page=2${cursor && `&cursor=${cursor}`}`)
    const { data, pagination } = answer.json()
    seen.push(...data)
    cursor = pagination.next_cursor
    const next = cursor === null ? '' : `, </api/v1/auth/sessions?per_page=2&cursor=${cursor}>; rel="next"`
    t.equal(answer.headers.link, `</api/v1/auth/sessions?per_page=2>; rel="first"${next}`)
    await db.insert(sessions).values({ ...row, expires_at })
  }
  t.strictSame(
    seen.map(({ id }) => id),
    ids,
  )
  t.equal(seen.filter(({ current }) => current).length, 1)
  t.match((await page('?cursor=x')).json(), { status: 400, code: 'invalid_cursor' })
  t.match((await page('?per_page=101')).json(), { status: 400, code: 'validation_failed' })
  const theirs = await app.inject({ url: me, headers: stranger.headers })
  t.equal(theirs.json().data.length, 1)
})

/** So many sessions of a user, each unused for a minute longer than the one before. */
async function fill({ database: { db } }: App, user_id: string, count: number): Promise<string[]> {
  const rows = Array.from({ length: count }, (_, minutes) => ({
    ...{ id: newId(), user_id, secret_hash: Buffer.alloc(32) },
    last_used_at: new Date(Date.now() - (minutes + 1) * 60_000),
    expires_at: new Date(Date.now() + 60_000),
  }))
  await db.insert(sessions).values(rows)
  return rows.map(({ id }) => id)
}

const sessionsOf = async ({ database: { db } }: App, user_id: string): Promise<string[]> =>
  (await db.select({ id: sessions.id }).from(sessions).where(eq(sessions.user_id, user_id))).map(
    ({ id }) => id,
  )

test('of a hundred sessions, another sign-in ends the one that was unused for longest', async t => {
  const app = await build(t, { variables: CHEAP })
  const { email, password, user, headers } = await registered(app)
  const stranger = await registered(app)
  const ids = await fill(app, user.id, 99)
  await app.database.db
    .update(sessions)
    .set({ last_used_at: sql`now()` })
    .where(eq(sessions.id, ids[98] ?? ''))
  t.equal((await sessionsOf(app, user.id)).length, 100)
  t.equal((await app.inject({ url: me, headers })).statusCode, 200)
  const answer = await post(app, '/auth/login', { email, password })
  t.equal(answer.statusCode, 200)
  const left = await sessionsOf(app, user.id)
  t.equal(left.length, 100)
  t.notOk(left.includes(ids[97] ?? ''), 'the one that was not used')
  t.ok(left.includes(ids[98] ?? ''), 'not the oldest, which is in use')
  const admin = await aUser(app, 'admin')
  const request_id = answer.headers['x-request-id']
  const audit = await app.inject({ url: `/api/v1/audit?request_id=${request_id}`, headers: admin.headers })
  const events: { type: string }[] = audit.json().data
  t.strictSame(events.map(({ type }) => type).sort(), ['session.created', 'session.revoked'])
  t.match(
    events.find(({ type }) => type === 'session.revoked'),
    { subject: { id: ids[97] }, owner_id: user.id, changes: { how: [null, 'limit'] } },
  )
  t.equal((await sessionsOf(app, stranger.user.id)).length, 1)
})

test('whoever is beyond the limit is out with the next request', async t => {
  const app = await build(t, { variables: CHEAP })
  const { email, password, user, headers } = await registered(app)
  const [own = ''] = await sessionsOf(app, user.id)
  await fill(app, user.id, 99)
  t.equal((await app.inject({ url: me, headers })).statusCode, 200)
  await app.database.db
    .update(sessions)
    .set({ last_used_at: sql`now() - interval '1 d'` })
    .where(eq(sessions.id, own))
  t.equal((await post(app, '/auth/login', { email, password })).statusCode, 200)
  t.equal((await app.inject({ url: me, headers })).statusCode, 401)
})

test('parallel sign-ins, sign-outs and refreshes at the limit wait for nobody in a circle', async t => {
  const app = await build(t, { variables: CHEAP })
  const { email, password, user } = await registered(app)
  const first = await Promise.all(
    Array.from({ length: 10 }, () => post(app, '/auth/login', { email, password })),
  )
  await fill(app, user.id, 95)
  const answers = await Promise.all(
    first.flatMap((each, number) => {
      const { refresh_token, access_token } = each.json()
      return [
        post(app, '/auth/login', { email, password }),
        post(app, '/auth/refresh', { refresh_token }),
        ...(number % 3 === 0 ? [post(app, '/auth/logout', undefined, bearer(access_token))] : []),
      ]
    }),
  )
  for (const { statusCode } of answers) t.ok([200, 204, 401].includes(statusCode), String(statusCode))
  const opened = answers.filter(({ statusCode, body }) => statusCode === 200 && body.includes('"user"'))
  t.equal(opened.length, 10)
  t.ok((await sessionsOf(app, user.id)).length <= 100)
  for (const each of opened) {
    const headers = bearer(each.json().access_token)
    t.equal(
      (await app.inject({ url: me, headers })).statusCode,
      200,
      'nobody ends the one that has just begun',
    )
  }
})

test('passwords of eight and of 128 characters, and an e-mail of 254, are accepted', async t => {
  const app = await build(t, { variables: CHEAP })
  const long = `${newId()}@${'x'.repeat(63)}.${'y'.repeat(63)}.${'z'.repeat(63)}.example.com`
  const email = (length: number) => `${'e'.repeat(length - long.length)}${long}`
  for (const [fields, status] of [
    [{ password: 'x9-horse' }, 201],
    [{ password: 'x9-hors' }, 400],
    [{ password: 'correct horse'.padEnd(128, ' battery') }, 201],
    [{ password: 'correct horse'.padEnd(129, ' battery') }, 400],
    // Counted in characters, be they of one unit or of two.
    [{ password: '🐎'.repeat(8) }, 201],
    [{ password: '🐎'.repeat(128) }, 201],
    [{ email: email(254) }, 201],
    [{ email: email(255) }, 400],
  ] as const) {
    const person = { ...newcomer(), ...fields }
    const answer = await post(app, '/auth/register', person)
    t.equal(answer.statusCode, status, JSON.stringify(fields))
    if (status !== 201) continue
    const { password } = person
    t.equal((await post(app, '/auth/login', { email: person.email, password })).statusCode, 200)
  }
})
