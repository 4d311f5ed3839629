import { setImmediate as nextTurn } from 'node:timers/promises'
import { eq } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { newApiKey } from '../../src/accounts/api-key-format.ts'
import { createPrincipals } from '../../src/accounts/principals.ts'
import { apiKeys, sessions, users } from '../../src/accounts/tables.ts'
import { connectPostgres } from '../../src/db/postgres.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Database, Db, Listener } from '../../src/db/types.ts'
import { newId } from '../../src/lib/id.ts'
import { sha256 } from '../../src/lib/opaque.ts'
import { anotherDatabase, createServerDatabase, serverUrl, testDatabase } from '../database.ts'
import { aUser, build, probe, testConfig } from '../helper.ts'

type Statement = (text: string, ...rest: unknown[]) => Promise<unknown>

const isLookUp = (text: unknown) => /from (sessions s|api_keys k) join users/.test(String(text))

/**
 * The database, whose look-ups are counted and can be kept on their way, and whose announcements come when the test
 * says so: what happens in between is otherwise a matter of luck.
 */
async function open(t: Test) {
  const database = await testDatabase()
  const state: State = {
    current: true,
    lookUps: 0,
    answered: 0,
    delivery: Promise.resolve(),
  }
  const principals = createPrincipals({
    ...database,
    db: watchLookUps(database.db, state),
    follow(_channel, listener) {
      state.announcements = listener
      return { isCurrent: () => state.current, end: async () => {} }
    },
  })
  t.teardown(() => principals.end())
  return { principals, state, db: database.db }
}

interface State {
  current: boolean
  lookUps: number
  /** How many of these Postgres has answered. */
  answered: number
  /** What such an answer waits for on its way. */
  delivery: Promise<void>
  /** Answers in the place of Postgres. */
  answer?: (value: string) => object
  announcements?: Listener
}

function watchLookUps(db: Db, state: State): Db {
  const { client } = (db as unknown as { _: { session: { client: Record<string, Statement> } } })._.session
  const watched = new Proxy(client, {
    get(target, name) {
      const own = Reflect.get(target, name)
      if (name !== 'unsafe' && name !== 'query') return own
      return async (text: string, values: unknown[], ...rest: unknown[]) => {
        if (!isLookUp(text)) return own.call(target, text, values, ...rest)
        state.lookUps++
        const { delivery, answer } = state
        const made = answer && [answer(String(values[0]))]
        const found = made ?? (await own.call(target, text, values, ...rest))
        state.answered++
        await delivery
        return made && name === 'query' ? { rows: made } : found
      }
    },
  })
  return new Proxy(db, {
    get: (target, name) => (name === '_' ? { session: { client: watched } } : Reflect.get(target, name)),
  })
}

const soon = (seconds: number) => new Date(Date.now() + seconds * 1000)

async function insertUser(db: Db, fields: object = {}): Promise<string> {
  const id = newId()
  const names = { first_name: 'Ada', last_name: 'Lovelace' }
  await db
    .insert(users)
    .values({ id, email: `${id}@example.com`, password_hash: 'none', ...names, ...fields })
  return id
}

async function insertSession(db: Db, user_id: string, expires_at = soon(3_600)): Promise<string> {
  const id = newId()
  await db.insert(sessions).values({ id, user_id, secret_hash: Buffer.alloc(32), expires_at })
  return id
}

async function insertKey(db: Db, user_id: string, fields: object = {}): Promise<string> {
  const key = newApiKey()
  await db.insert(apiKeys).values({
    ...{ user_id, name: 'CI', prefix: 'plk_', key_hash: sha256(key), scopes: ['items:read' as const] },
    ...fields,
  })
  return key
}

/** An answer that stays on its way until it is let go. */
function holdBack(state: State) {
  let release = () => {}
  state.delivery = new Promise(resolve => {
    release = resolve
  })
  return () => {
    state.delivery = Promise.resolve()
    release()
  }
}

const deleteSession = (db: Db, id: string) => db.delete(sessions).where(eq(sessions.id, id))

test('who is known is told at once, without a question to the database', async t => {
  const { principals, state, db } = await open(t)
  const user_id = await insertUser(db, { role: 'editor', tier: 'premium', email_verified: true })
  const session_id = await insertSession(db, user_id)
  const key = await insertKey(db, user_id, { scopes: ['items:read', 'events:read'] })
  const user = { id: user_id, role: 'editor', tier: 'premium', email_verified: true } as const
  const [bySession, byKey] = [await principals.ofSession(session_id), await principals.ofApiKey(key)]
  t.strictSame(bySession, { ...user, session_id, api_key_id: null, scopes: null })
  t.match(byKey, { ...user, session_id: null, scopes: ['items:read', 'events:read'] })
  t.type(byKey?.api_key_id, 'string')
  t.equal(state.lookUps, 2)
  for (let request = 0; request < 10; request++) {
    t.equal(principals.ofSession(session_id), bySession, 'not a promise')
    t.equal(principals.ofApiKey(key), byKey, 'not a promise')
  }
  t.equal(state.lookUps, 2)
})

test('in the whole service, too: an authenticated request runs no statement', async t => {
  const app = await build(t, {
    database: await anotherDatabase(t),
    routes: async app => {
      app.get('/own', { ...probe('getOwn'), config: { access: {} } }, async ({ user }) => user)
    },
  })
  const { headers } = await aUser(app)
  const statements = recordStatements(app.database.db)
  const quiet = async () => {
    statements.length = 0
    for (let request = 0; request < 20; request++) {
      t.equal((await app.inject({ url: '/own', headers })).statusCode, 200)
    }
    // That one is not a request's, and comes once a minute.
    return statements.every(text => text.includes('last_used_at'))
  }
  t.equal(await quiet(), false, 'at first it is')
  // A busy machine may not have heard from the server for longer than is allowed.
  while (!(await quiet()));
})

function recordStatements(db: Db): string[] {
  const { client } = (db as unknown as { _: { session: { client: Record<string, Statement> } } })._.session
  const statements: string[] = []
  for (const name of ['unsafe', 'query']) {
    const own = client[name]
    if (own === undefined) continue
    client[name] = (text, ...rest) => {
      statements.push(text)
      return own.call(client, text, ...rest)
    }
  }
  return statements
}

test('ten requests at once need one look-up', async t => {
  const { principals, state, db } = await open(t)
  const id = await insertSession(db, await insertUser(db))
  const found = await Promise.all(Array.from({ length: 10 }, () => principals.ofSession(id)))
  t.equal(state.lookUps, 1)
  t.equal(new Set(found).size, 1)
})

test('what cannot be a key is not looked up, and who is not found is looked up each time', async t => {
  const { principals, state, db } = await open(t)
  const key = await insertKey(db, await insertUser(db))
  const slip = key.slice(0, -1) + (key.endsWith('0') ? '1' : '0')
  t.equal(principals.ofApiKey(slip), undefined)
  t.equal(state.lookUps, 0)
  const late = newApiKey()
  t.equal(await principals.ofApiKey(late), undefined)
  await insertKey(db, await insertUser(db), { key_hash: sha256(late) })
  t.ok(await principals.ofApiKey(late), 'that nobody was there is not remembered')
  t.equal(state.lookUps, 2)
})

test('nobody stands for a user who is deactivated or deleted, or for what has expired', async t => {
  const { principals, db } = await open(t)
  for (const fields of [{ is_active: false }, { deleted_at: soon(-60) }]) {
    const user_id = await insertUser(db, fields)
    t.equal(await principals.ofSession(await insertSession(db, user_id)), undefined)
    t.equal(await principals.ofApiKey(await insertKey(db, user_id)), undefined)
  }
  const user_id = await insertUser(db)
  t.equal(await principals.ofSession(await insertSession(db, user_id, soon(-60))), undefined)
  t.equal(await principals.ofApiKey(await insertKey(db, user_id, { expires_at: soon(-60) })), undefined)
  const previous = newApiKey()
  const over = { previous_hash: sha256(previous), previous_expires_at: soon(-60) }
  t.ok(await principals.ofApiKey(await insertKey(db, user_id, over)))
  t.equal(await principals.ofApiKey(previous), undefined, 'the key before, when the overlap is over')
})

test('what is heard drops all of that user, and of nobody else', async t => {
  const { principals, state, db } = await open(t)
  const [user_id, other_id] = [await insertUser(db), await insertUser(db)]
  const [one, two] = [await insertSession(db, user_id), await insertSession(db, user_id)]
  const key = await insertKey(db, user_id)
  const other = await insertSession(db, other_id)
  for (const id of [one, two, other]) await principals.ofSession(id)
  await principals.ofApiKey(key)
  await deleteSession(db, one)
  await db.delete(apiKeys).where(eq(apiKeys.user_id, user_id))
  t.ok(principals.ofSession(one), 'nothing was heard yet')
  state.announcements?.heard(user_id)
  state.lookUps = 0
  t.equal(await principals.ofSession(one), undefined)
  t.equal(await principals.ofApiKey(key), undefined)
  t.ok(await principals.ofSession(two))
  t.ok(await principals.ofSession(other))
  t.equal(state.lookUps, 3, 'the other user’s was still known')
})

test('a transaction that forgets is obeyed here once it is committed, heard or not', async t => {
  const { principals, db } = await open(t)
  const user_id = await insertUser(db)
  const id = await insertSession(db, user_id)
  await principals.ofSession(id)
  const failing = inTransaction(db, async tx => {
    await tx.delete(sessions).where(eq(sessions.id, id))
    await principals.forget(tx, user_id)
    throw new Error('changed my mind')
  })
  await t.rejects(failing, { message: 'changed my mind' })
  t.match(principals.ofSession(id), { session_id: id }, 'nothing has happened')
  await inTransaction(db, async tx => {
    await tx.delete(sessions).where(eq(sessions.id, id))
    await principals.forget(tx, user_id)
  })
  t.equal(await principals.ofSession(id), undefined)
})

for (const [what, announce] of [
  ['a revocation is heard', (listener: Listener, user_id: string) => listener.heard(user_id)],
  ['announcements are missed', (listener: Listener) => listener.missed()],
] as const) {
  test(`an answer that is on its way while ${what} is not kept`, async t => {
    const { principals, state, db } = await open(t)
    const user_id = await insertUser(db)
    const id = await insertSession(db, user_id)
    const letGo = holdBack(state)
    const before = principals.ofSession(id)
    while (state.answered === 0) await nextTurn()
    await deleteSession(db, id)
    announce(state.announcements as Listener, user_id)
    const after = principals.ofSession(id)
    letGo()
    t.match(await before, { session_id: id })
    t.equal(await after, undefined, 'who asks later does not share it')
    t.equal(await principals.ofSession(id), undefined)
  })
}

test('while announcements may be missing, only the database is believed', async t => {
  const { principals, state, db } = await open(t)
  const id = await insertSession(db, await insertUser(db))
  t.ok(await principals.ofSession(id))
  state.current = false
  state.lookUps = 0
  state.answered = 0
  const letGo = holdBack(state)
  const early = principals.ofSession(id)
  while (state.answered === 0) await nextTurn()
  await deleteSession(db, id)
  const late = principals.ofSession(id)
  letGo()
  t.ok(await early)
  t.equal(await late, undefined, 'not what others are looking up either')
  t.equal(await principals.ofSession(id), undefined)
  t.equal(state.lookUps, 3)
})

test('what was looked up while announcements may be missing is not kept', async t => {
  const { principals, state, db } = await open(t)
  const id = await insertSession(db, await insertUser(db))
  state.current = false
  t.ok(await principals.ofSession(id))
  state.current = true
  await deleteSession(db, id)
  t.equal(await principals.ofSession(id), undefined)
})

test('when announcements were missed, all is forgotten', async t => {
  const { principals, state, db } = await open(t)
  const ids = [await insertSession(db, await insertUser(db)), await insertSession(db, await insertUser(db))]
  for (const id of ids) await principals.ofSession(id)
  state.lookUps = 0
  state.announcements?.missed()
  for (const id of ids) await deleteSession(db, id)
  for (const id of ids) t.equal(await principals.ofSession(id), undefined)
  t.equal(state.lookUps, 2)
})

test('at most 50 000 are known; the oldest goes first', async t => {
  const { principals, state } = await open(t)
  const row = { id: newId(), role: 'user', tier: 'standard', email_verified: true, expires_in: 60 }
  state.answer = session_id => ({ ...row, session_id, api_key_id: null, scopes: null })
  for (let n = 0; n <= 50_000; n++) await principals.ofSession(`session ${n}`)
  state.lookUps = 0
  t.match(principals.ofSession('session 1'), { session_id: 'session 1' })
  t.match(principals.ofSession('session 50000'), { session_id: 'session 50000' })
  t.equal(state.lookUps, 0)
  t.match(await principals.ofSession('session 0'), { session_id: 'session 0' })
  t.equal(state.lookUps, 1)
})

test('who has expired meanwhile is looked up again, and may have been given more time', async t => {
  const { principals, state, db } = await open(t)
  const user_id = await insertUser(db)
  const [refreshed, left] = [
    await insertSession(db, user_id, soon(60)),
    await insertSession(db, user_id, soon(60)),
  ]
  const [key, previous] = [newApiKey(), newApiKey()]
  const hashes = { key_hash: sha256(key), previous_hash: sha256(previous) }
  await insertKey(db, user_id, { ...hashes, previous_expires_at: soon(60), expires_at: soon(3_600) })
  for (const id of [refreshed, left]) await principals.ofSession(id)
  for (const one of [key, previous]) t.ok(await principals.ofApiKey(one))
  t.equal(state.lookUps, 4)

  const start = Date.now()
  t.intercept(Date, 'now', { value: () => start + 61_000 })
  await db
    .update(sessions)
    .set({ expires_at: soon(3_600) })
    .where(eq(sessions.id, refreshed))
  await db
    .update(sessions)
    .set({ expires_at: new Date(start - 1_000) })
    .where(eq(sessions.id, left))
  await db
    .update(apiKeys)
    .set({ previous_expires_at: new Date(start - 1_000) })
    .where(eq(apiKeys.key_hash, sha256(key)))
  t.match(await principals.ofSession(refreshed), { session_id: refreshed }, 'a refresh needs no announcement')
  t.equal(await principals.ofSession(left), undefined)
  t.equal(await principals.ofApiKey(previous), undefined, 'the overlap ends before the key does')
  t.equal(state.lookUps, 7)
  t.match(principals.ofApiKey(key), { id: user_id })
  t.match(principals.ofSession(refreshed), { session_id: refreshed }, 'known again')
  t.equal(state.lookUps, 7)
})

test('the last use is written at the end at the latest, and not more often than twice a minute', async t => {
  const { principals, db } = await open(t)
  const user_id = await insertUser(db)
  const [session_id, key] = [await insertSession(db, user_id), await insertKey(db, user_id)]
  const long_ago = soon(-3_600)
  await db.update(sessions).set({ last_used_at: long_ago }).where(eq(sessions.id, session_id))
  const lastUses = async () => {
    const [session] = await db.select().from(sessions).where(eq(sessions.id, session_id))
    const [apiKey] = await db.select().from(apiKeys).where(eq(apiKeys.user_id, user_id))
    return [session?.last_used_at, apiKey?.last_used_at]
  }
  t.strictSame(await lastUses(), [long_ago, null])
  await principals.ofSession(session_id)
  await principals.ofApiKey(key)
  await principals.end()
  const written = await lastUses()
  for (const time of written) t.ok(time && time > long_ago)

  const { principals: another } = await open(t)
  await another.ofSession(session_id)
  await another.ofApiKey(key)
  await another.end()
  t.strictSame(await lastUses(), written, 'another process has just written it')
})

if (serverUrl !== undefined) {
  test('what one process revokes, the others refuse, within a quarter of a second', async t => {
    const url = await createServerDatabase(t)
    const [here, there] = [aProcess(t, url), aProcess(t, url)]
    const { db } = here.database
    let slowest = Number.POSITIVE_INFINITY
    // A busy machine may let a timer or a socket wait for longer than that; a service that is slow always is.
    for (let attempt = 1; attempt <= 5 && slowest >= 250; attempt++) {
      slowest = Math.max(await revokeAndWait(1), await revokeAndWait(2), await revokeAndWait(3))
    }
    t.ok(slowest < 250, `${Math.round(slowest)} ms`)

    /** Milliseconds from the commit here until it counts there. */
    async function revokeAndWait(round: number): Promise<number> {
      const user_id = await insertUser(db)
      const [id, key] = [await insertSession(db, user_id), await insertKey(db, user_id)]
      for (const { principals } of [here, there]) {
        // At once only once it listens.
        while (principals.ofSession(id) instanceof Promise) await principals.ofSession(id)
        t.ok(await principals.ofApiKey(key))
      }
      await inTransaction(db, async tx => {
        await tx.delete(sessions).where(eq(sessions.id, id))
        await tx.delete(apiKeys).where(eq(apiKeys.user_id, user_id))
        await here.principals.forget(tx, user_id)
      })
      const committed_at = performance.now()
      t.equal(await here.principals.ofSession(id), undefined, `round ${round}`)
      while ((await there.principals.ofSession(id)) !== undefined) await nextTurn()
      t.equal(await there.principals.ofApiKey(key), undefined)
      return performance.now() - committed_at
    }
  })

  function aProcess(t: Test, url: string) {
    const database: Database = connectPostgres(url, testConfig())
    const principals = createPrincipals(database)
    t.teardown(async () => {
      await principals.end()
      await database.close()
    })
    return { database, principals }
  }
}
