import { mock } from 'node:test'
import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { expireIdempotencyKeys } from '../../src/idempotency/jobs.ts'
import { LEASE_SECONDS, removeExpired } from '../../src/idempotency/keys.ts'
import { aUser } from '../helper.ts'
import { ask, countEffects, isReplay, keys, type Orders, withEffects } from './effects.ts'

test('the same request again is not run, and answered with the same bytes', async t => {
  const { app, committed } = await withEffects(t)
  const key = 'same'
  const first = await ask(app, { effects: ['same'] }, { key })
  t.equal(first.statusCode, 200)
  t.equal(first.json().seen, 1)
  isReplay(t, first, await ask(app, { effects: ['same'] }, { key }))
  isReplay(t, first, await ask(app, { effects: ['same'] }, { key }))
  t.equal(await countEffects(app, 'same'), 1)
  t.strictSame(committed, ['same'])
})

test('without a key nothing is kept, and each request is run', async t => {
  const { app, committed } = await withEffects(t)
  const before = (await keys(app)).length
  await ask(app, { effects: ['twice'] })
  t.equal((await ask(app, { effects: ['twice'] })).headers['idempotency-replayed'], undefined)
  t.equal(await countEffects(app, 'twice'), 2)
  t.strictSame(committed, ['twice', 'twice'])
  t.equal((await keys(app)).length, before)
})

test('bytes and nothing are given again as well', async t => {
  const { app } = await withEffects(t)
  for (const end of ['bytes', 'empty'] as const) {
    const first = await ask(app, { end }, { key: end })
    isReplay(t, first, await ask(app, { end }, { key: end }))
  }
})

test('several changes of one request are committed together, in one statement or more', async t => {
  const { app, committed } = await withEffects(t)
  for (const one_statement of [false, true]) {
    const effects = [`a ${one_statement}`, `b ${one_statement}`]
    const first = await ask(app, { effects, one_statement }, { key: `several ${one_statement}` })
    t.equal(first.json().seen, 2)
    for (const name of effects) t.equal(await countEffects(app, name), 1)
    const failed = await ask(
      app,
      { effects, one_statement, end: 'crash' },
      { key: `undone ${one_statement}` },
    )
    t.equal(failed.statusCode, 500)
    for (const name of effects) t.equal(await countEffects(app, name), 1)
  }
  t.strictSame(committed, ['a false', 'b false'])
})

test('a refusal is an answer like any, and what was committed before it stays', async t => {
  const { app, committed } = await withEffects(t)
  const order: Orders = { effects: ['noted'], end: 'conflict' }
  const first = await ask(app, order, { key: 'refused' })
  t.equal(first.statusCode, 409)
  isReplay(t, first, await ask(app, order, { key: 'refused' }))
  t.equal(await countEffects(app, 'noted'), 1)
  t.strictSame(committed, ['noted'])
})

test('a failure is not kept, and nothing of it stays', async t => {
  const { app, committed } = await withEffects(t)
  const before = (await keys(app)).length
  for (const _ of [1, 2]) {
    const answer = await ask(app, { effects: ['undone'], end: 'crash' }, { key: 'crash' })
    t.equal(answer.statusCode, 500)
    t.equal(answer.headers['idempotency-replayed'], undefined)
  }
  t.equal(await countEffects(app, 'undone'), 0)
  t.strictSame(committed, [])
  t.equal((await keys(app)).length, before)
  // Free for anything, as it never stood for anything.
  t.equal((await ask(app, { effects: ['done'] }, { key: 'crash' })).statusCode, 200)
})

test('a key stands for one request: another body, path or query is a mismatch', async t => {
  const { app } = await withEffects(t)
  const key = 'one'
  t.equal((await ask(app, { effects: ['one'] }, { key })).statusCode, 200)
  for (const [payload, url] of [
    [{ effects: ['two'] }, '/effect'],
    [{ effects: ['one'] }, '/other'],
    [{ effects: ['one'] }, '/effect?again'],
  ] as const) {
    const answer = await ask(app, { effects: [...payload.effects] }, { key, url })
    t.equal(answer.statusCode, 422)
    t.equal(answer.json().code, 'idempotency_mismatch')
  }
  t.equal(await countEffects(app, 'one'), 1)
  t.equal(await countEffects(app, 'two'), 0)
})

test('callers do not share keys', async t => {
  const { app } = await withEffects(t)
  const url = '/api/v1/auth/api-keys'
  const payload = { name: 'x', scopes: ['items:read'] }
  const ids = []
  for (const { headers } of [await aUser(app), await aUser(app)]) {
    const made = await app.inject({
      method: 'POST',
      url,
      payload,
      headers: { ...headers, 'idempotency-key': 'k' },
    })
    t.equal(made.statusCode, 201)
    t.equal(made.headers['idempotency-replayed'], undefined)
    ids.push(made.json().id)
  }
  t.equal(new Set(ids).size, 2)
  const near = await ask(app, { effects: ['near'] }, { key: 'address' })
  const far = await app.inject({
    method: 'POST',
    url: '/effect',
    payload: { effects: ['near'] },
    headers: { 'idempotency-key': 'address' },
    remoteAddress: '192.0.2.7',
  })
  t.equal(near.statusCode, 200)
  t.equal(far.headers['idempotency-replayed'], undefined)
  t.equal(await countEffects(app, 'near'), 2)
})

test('a key that is none is refused like any other fault, and a good one may have any form', async t => {
  const { app } = await withEffects(t)
  for (const key of ['', 'x'.repeat(256), 'schlüssel', 'tab\there']) {
    const answer = await ask(app, { effects: ['bad'] }, { key })
    t.equal(answer.statusCode, 400, key)
    t.match(answer.json(), {
      code: 'validation_failed',
      errors: [{ in: 'header', pointer: '/idempotency-key' }],
    })
  }
  t.equal(await countEffects(app, 'bad'), 0)
  for (const key of ['x', 'y'.repeat(255), '"8e03978e-40d5-43dd-bc93-6894a57f9324"', 'with a space, and ~']) {
    t.equal((await ask(app, { effects: ['good'] }, { key })).statusCode, 200, key)
  }
})

test('a request that is refused before it is run uses up no key', async t => {
  const { app } = await withEffects(t)
  const before = (await keys(app)).length
  const wrong = await ask(app, { effects: 'x' } as never, { key: 'later' })
  t.equal(wrong.statusCode, 400)
  const headers = { 'idempotency-key': 'later' }
  const url = '/api/v1/auth/api-keys'
  t.equal((await app.inject({ method: 'POST', url, payload: {}, headers })).statusCode, 401)
  t.equal((await keys(app)).length, before)
  t.equal((await ask(app, { effects: ['later'] }, { key: 'later' })).statusCode, 200)
})

test('of twenty at once one is run, and the others wait their turn or get its answer', async t => {
  const { app, committed } = await withEffects(t)
  const send = () => ask(app, { effects: ['race'], wait_ms: 30 }, { key: 'race' })
  const answers = await Promise.all(Array.from({ length: 20 }, send))
  const ran = answers.filter(answer => answer.statusCode === 200 && !answer.headers['idempotency-replayed'])
  t.equal(ran.length, 1)
  for (const answer of answers.filter(({ statusCode }) => statusCode !== 200)) {
    t.equal(answer.json().code, 'idempotency_in_progress')
    t.equal(answer.headers['retry-after'], '1')
  }
  for (const answer of answers.filter(({ statusCode }) => statusCode === 200))
    t.equal(answer.body, ran[0]?.body)
  t.equal(await countEffects(app, 'race'), 1)
  t.strictSame(committed, ['race'])
  t.equal((await send()).body, ran[0]?.body)
})

test('a key whose holder has died is taken over by the same request, and by no other', async t => {
  const { app } = await withEffects(t)
  await ask(app, { effects: ['orphan'] }, { key: 'orphan' })
  const orphan = (held_until: string) =>
    app.database.db.execute(
      sql`update idempotency_keys set answer = null, held_until = now() + ${held_until}::interval`,
    )
  await orphan('1 s')
  t.equal((await ask(app, { effects: ['orphan'] }, { key: 'orphan' })).json().code, 'idempotency_in_progress')
  await orphan('-1 s')
  t.equal((await ask(app, { effects: ['other'] }, { key: 'orphan' })).json().code, 'idempotency_mismatch')
  const again = await ask(app, { effects: ['orphan'] }, { key: 'orphan' })
  t.equal(again.statusCode, 200)
  t.equal(await countEffects(app, 'orphan'), 2)
  isReplay(t, again, await ask(app, { effects: ['orphan'] }, { key: 'orphan' }))
})

test('who lost the key to another one cannot commit any more', async t => {
  const { app, committed } = await withEffects(t)
  // Not holding a transaction while it waits, or the embedded database could not be stolen from.
  await app.database.db.execute(sql`delete from idempotency_keys`)
  const slow = ask(app, { effects: ['stolen'], wait_first_ms: 300 }, { key: 'stolen' }).then(answer => answer)
  const steal = () =>
    app.database.db.execute(
      sql`update idempotency_keys set holder = gen_random_uuid() where answer is null returning id`,
    )
  for (let stolen = 0; stolen === 0; ) {
    const result = (await steal()) as unknown as { rows?: unknown[]; length?: number }
    stolen = result.rows?.length ?? result.length ?? 0
  }
  const answer = await slow
  t.equal(answer.statusCode, 409)
  t.match(answer.json(), { code: 'idempotency_in_progress' })
  t.equal(answer.headers['retry-after'], '1')
  t.strictSame(committed, [])
  t.equal(await countEffects(app, 'stolen'), 0)
  t.ok((await keys(app)).some(row => row.answer === null))
  await app.database.db.execute(sql`delete from idempotency_keys where answer is null`)
})

test('a request that takes long says that it still runs', async t => {
  const { app } = await withEffects(t)
  await app.database.db.execute(sql`delete from idempotency_keys`)
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const slow = ask(app, { wait_first_ms: 500 }, { key: 'slow' }).then(answer => answer)
  while ((await keys(app)).length === 0);
  await app.database.db.execute(sql`update idempotency_keys set held_until = now()`)
  t.notOk((await keys(app))[0]?.held)
  mock.timers.tick((LEASE_SECONDS * 1000) / 2)
  while (!(await keys(app))[0]?.held);
  t.equal((await slow).statusCode, 200)
  await app.database.db.execute(sql`update idempotency_keys set held_until = now()`)
  mock.timers.tick(LEASE_SECONDS * 1000)
  t.notOk((await keys(app))[0]?.held)
})

test('who hung up before the answer gets it when they ask again', async t => {
  const { app } = await withEffects(t)
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const order: Orders = { effects: ['hung up'], wait_first_ms: 200 }
  const send = (signal: AbortSignal | null = null) =>
    fetch(`${address}/effect`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'hung up' },
      body: JSON.stringify(order),
      signal,
    })
  await t.rejects(send(AbortSignal.timeout(100)))
  let again = await send()
  while (again.status === 409) again = await send()
  t.equal(again.status, 200)
  t.equal(again.headers.get('idempotency-replayed'), 'true')
  t.equal(await countEffects(app, 'hung up'), 1)
})

test('after a day a key is new again, and an hour later it is gone', async t => {
  const { app } = await withEffects(t)
  const { database } = app
  await database.db.execute(sql`delete from idempotency_keys`)
  await ask(app, { effects: ['day'] }, { key: 'day' })
  await ask(app, { effects: ['today'] }, { key: 'today' })
  const age = () =>
    database.db.execute(
      sql`update idempotency_keys set expires_at = now(), held_until = now() - interval '1 d'
        where id = (select id from idempotency_keys order by created_at limit 1)`,
    )
  await age()
  // Even with another body.
  t.equal((await ask(app, { effects: ['next day'] }, { key: 'day' })).statusCode, 200)
  t.equal((await ask(app, { effects: ['day'] }, { key: 'day' })).statusCode, 422)
  await age()
  const context = { database, signal: new AbortController().signal }
  await expireIdempotencyKeys.run({}, context as never)
  t.equal((await keys(app)).length, 1)
  t.equal(await removeExpired(database.db, 10), 0)
})
