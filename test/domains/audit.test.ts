import { Type } from '@sinclair/typebox'
import { type SQL, sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Database, Db } from '../../src/db/types.ts'
import { expireEvents, sealEvents } from '../../src/domains/audit/jobs.ts'
import { sealNextEvents } from '../../src/domains/audit/seals.ts'
import { verifyAudit } from '../../src/domains/audit/verify.ts'
import { defineEvent } from '../../src/events/event-type.ts'
import { ensurePartitions } from '../../src/events/partitions.ts'
import { record } from '../../src/events/record.ts'
import { events } from '../../src/events/tables.ts'
import type { JobContext } from '../../src/jobs/job.ts'
import { type Actor, systemActor } from '../../src/lib/actor.ts'
import { firstIdAt, newId } from '../../src/lib/id.ts'
import { anotherDatabase, eventsAreFinal, testDatabase } from '../database.ts'
import { aUser, build, recordingLogger, signedIn, testConfig } from '../helper.ts'

const Fields = Type.Object({ title: Type.String() })
const noteCreated = defineEvent('test_note.created', Fields)
const noteDeleted = defineEvent('test_note.deleted', Fields)
const taskCreated = defineEvent('test_task.created', Fields)

const actor = (id: string, request_id = 'request-1'): Actor => ({
  type: 'user',
  id,
  origin: { request_id, ip: '192.0.2.7', user_agent: 'curl' },
})

function write(
  db: Db,
  by: Actor,
  type = noteCreated,
  facts: { owner_id?: string; subject_id?: string } = {},
) {
  const { owner_id = by.id, subject_id = newId() } = facts
  return inTransaction(db, tx => record(tx, by, type, { subject_id, owner_id, after: { title: 'T' } }))
}

const everything = { after_seal: 0, time_ms: 60_000 }

async function sealAll(db: Db) {
  await eventsAreFinal(db)
  while ((await sealNextEvents(db)) !== undefined);
}

/** As somebody does who has the database, and not the application. */
function behindTheBack(db: Db, statement: SQL) {
  return inTransaction(db, async tx => {
    await tx.execute(sql`set local session_replication_role = replica`)
    await tx.execute(statement)
  })
}

test('only administrators see it, and whoever else tries is recorded', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app, 'editor')
  for (const url of ['/api/v1/audit', '/api/v1/audit/export', '/api/v1/audit/verify']) {
    t.equal((await app.inject(url)).statusCode, 401)
    t.equal((await app.inject({ url, headers })).statusCode, 403)
  }
  const { data } = (
    await app.inject({ url: `/api/v1/audit?actor_id=${id}`, headers: await signedIn(app) })
  ).json()
  t.strictSame(
    data.map((event: { type: string; changes: object }) => [event.type, event.changes]),
    [
      ['access.denied', { operation: [null, 'verifyAudit'] }],
      ['access.denied', { operation: [null, 'exportEvents'] }],
      ['access.denied', { operation: [null, 'listEvents'] }],
    ],
  )
})

test('an event is shown as the contract says, and nothing else of it', async t => {
  const app = await build(t)
  const { db } = await testDatabase()
  const [user, subject_id] = [newId(), newId()]
  await write(db, actor(user, 'request-shown'), noteCreated, { subject_id })
  const answer = await app.inject({
    url: `/api/v1/audit?subject_id=${subject_id}`,
    headers: await signedIn(app),
  })
  t.equal(answer.statusCode, 200)
  const { data, pagination } = answer.json()
  t.strictSame(pagination, { per_page: 20, has_next: false, next_cursor: null })
  const [{ id, created_at, ...event }] = data
  t.match(created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.match(id, /^[0-9a-f-]{36}$/)
  t.strictSame(event, {
    type: 'test_note.created',
    actor: { type: 'user', id: user },
    owner_id: user,
    subject: { type: 'test_note', id: subject_id },
    request_id: 'request-shown',
    ip: '192.0.2.7',
    user_agent: 'curl',
    changes: { title: [null, 'T'] },
  })
})

test('each filter finds what it names, and only that', async t => {
  const app = await build(t)
  const { db } = await testDatabase()
  const [one, other, subject_id] = [newId(), newId(), newId()]
  const earlier = new Date()
  await write(db, actor(one, 'request-a'))
  await write(db, actor(one, 'request-b'), noteDeleted)
  await write(db, actor(one, 'request-c'), taskCreated, { owner_id: other, subject_id })
  await write(db, actor(other, 'request-d'), taskCreated)
  const found = async (query: string) => {
    const answer = await app.inject({ url: `/api/v1/audit?${query}`, headers: await signedIn(app) })
    return answer
      .json()
      .data.map(({ request_id }: { request_id: string }) => request_id.slice(-1))
      .join('')
  }
  t.equal(await found(`actor_id=${one}`), 'cba', 'what somebody did to their own and to others')
  t.equal(await found(`owner_id=${other}`), 'dc')
  t.equal(await found(`subject_id=${subject_id}`), 'c')
  t.equal(await found('request_id=request-b'), 'b')
  t.equal(await found(`actor_id=${one}&type=test_note.deleted`), 'b')
  t.equal(await found(`actor_id=${one}&type=test_note.*`), 'ba')
  t.equal(await found(`actor_id=${one}&type=test_note.cre*`), 'a')
  t.equal(await found(`actor_id=${one}&type=nothing.*`), '')
  t.equal(await found(`actor_id=${one}&from=${earlier.toISOString()}`), 'cba')
  t.equal(await found(`actor_id=${one}&to=${earlier.toISOString()}`), '')
  t.equal(await found(`actor_id=${one}&from=2099-01-01T00:00:00Z`), '')
})

interface Page {
  data: { request_id: string }[]
  pagination: { has_next: boolean; next_cursor: string | null }
}

test('a walk by cursor sees each event once, whatever is added meanwhile', async t => {
  const app = await build(t)
  const { db } = await testDatabase()
  const owner = newId()
  for (let count = 0; count < 7; count++) await write(db, actor(owner, `request-${count}`))
  const seen: string[] = []
  let query: string | null = `owner_id=${owner}&per_page=3`
  while (query) {
    const answer: { headers: { link?: unknown }; json(): Page } = await app.inject({
      url: `/api/v1/audit?${query}`,
      headers: await signedIn(app),
    })
    const { data, pagination } = answer.json()
    seen.push(...data.map(({ request_id }) => request_id))
    t.equal(pagination.has_next, pagination.next_cursor !== null)
    t.equal(String(answer.headers.link).includes('rel="next"'), pagination.has_next)
    query = pagination.next_cursor && `owner_id=${owner}&per_page=3&cursor=${pagination.next_cursor}`
    await write(db, actor(owner, 'request-late'))
  }
  t.strictSame(
    seen,
    [6, 5, 4, 3, 2, 1, 0].map(count => `request-${count}`),
  )
})

test('a bad parameter or cursor is the caller’s fault', async t => {
  const app = await build(t)
  const headers = await signedIn(app)
  const code = async (query: string) =>
    (await app.inject({ url: `/api/v1/audit${query}`, headers })).json().code
  for (const cursor of [
    'x',
    '%00',
    Buffer.from('jobs 01a1fe6d-2985-7239-9535-76034f419dc5').toString('base64url'),
  ]) {
    t.match(await code(`?cursor=${cursor}`), /^invalid_(cursor|text)$/)
  }
  for (const query of [
    'actor_id=x',
    'type=A',
    'subject_id=urn:uuid:01a1fe6d-2985-7239-9535-76034f419dc5',
    'to=2026-11-21T23:59:60Z',
    'type=%25',
    'from=yesterday',
    'per_page=0',
    'per_page=101',
    'request_id=a%20b',
  ]) {
    t.equal(await code(`?${query}`), 'validation_failed', query)
  }
  for (const query of ['/export?from=yesterday', '/verify?after_seal=-1', '/verify?after_seal=1e999']) {
    t.equal(await code(query), 'validation_failed', query)
  }
})

test('the export is every event, a line each', async t => {
  const app = await build(t)
  const { db } = await testDatabase()
  const owner = newId()
  await inTransaction(db, async tx => {
    for (let count = 0; count < 1200; count++) {
      await record(tx, actor(owner), noteCreated, {
        subject_id: null,
        owner_id: owner,
        after: { title: `"${count}"\n` },
      })
    }
  })
  const answer = await app.inject({
    url: `/api/v1/audit/export?owner_id=${owner}`,
    headers: await signedIn(app),
  })
  t.match(answer.headers['content-type'], /^application\/x-ndjson/)
  const lines = answer.body
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.equal(lines.length, 1200)
  t.equal(new Set(lines.map(({ id }) => id)).size, 1200)
  t.strictSame(lines[0].changes, { title: [null, '"1199"\n'] })
})

async function sealedHistory(t: Test, count = 5): Promise<{ db: Db; ids: string[]; database: Database }> {
  const database = await anotherDatabase(t)
  const { db } = database
  for (let made = 0; made < count; made++) await write(db, actor(newId()))
  await sealAll(db)
  const rows = await db.select({ id: events.id }).from(events).orderBy(events.id)
  return { db, database, ids: rows.map(({ id }) => id) }
}

test('what is as it was sealed is valid, over any number of seals', async t => {
  const { db } = await sealedHistory(t)
  const first = await verifyAudit(db, everything)
  t.match(first, { valid: true, breach: null, seals: 1, events: 5, complete: true, unsealed_events: 0 })
  await inTransaction(db, async tx => {
    for (let count = 0; count < 1500; count++) {
      await record(tx, systemActor(), noteCreated, {
        subject_id: null,
        owner_id: null,
        after: { title: 'T' },
      })
    }
  })
  await sealAll(db)
  await write(db, systemActor())
  const all = await verifyAudit(db, everything)
  t.match(all, { valid: true, seals: 3, events: 1505, last_seal: 3, complete: true, unsealed_events: 1 })
  t.match(all.last_hash, /^[0-9a-f]{64}$/)
  const rest = await verifyAudit(db, { ...everything, after_seal: 2 })
  t.match(rest, { valid: true, seals: 1, events: 500, last_hash: all.last_hash })
  t.match(await verifyAudit(db, { after_seal: 0, time_ms: 0 }), { complete: false, last_seal: 0 })
  const beyond = await verifyAudit(db, { ...everything, after_seal: 9 })
  t.match(
    beyond,
    { valid: false, breach: { fault: 'seal_missing', seal: 9 } },
    'the end may have been cut off',
  )
})

const alterations: Record<string, (id: string) => SQL> = {
  'what changed': id => sql`update events set changes = '{}' where id = ${id}`,
  'who did it': id => sql`update events set actor_id = gen_random_uuid() where id = ${id}`,
  'whose it was': id => sql`update events set owner_id = null where id = ${id}`,
  'when it was': id => sql`update events set created_at = created_at - interval '1 ms' where id = ${id}`,
  'from where': id => sql`update events set ip = '203.0.113.1' where id = ${id}`,
  'its type': id => sql`update events set type = 'test_note.deleted' where id = ${id}`,
}

test('somebody alters an event: the first one is named, in the code and over HTTP', async t => {
  const { db, ids, database } = await sealedHistory(t, 6)
  const app = await build(t, { database })
  const verify = async () =>
    (await app.inject({ url: '/api/v1/audit/verify', headers: await signedIn(app) })).json()
  t.match(await verify(), { valid: true, breach: null, events: 6, expired_before: null })
  for (const [name, statement] of Object.entries(alterations)) {
    // From the last to the first, so that each is the first that is broken.
    const event_id = ids.pop() ?? ''
    await behindTheBack(db, statement(event_id))
    const found = await verifyAudit(db, everything)
    t.match(found, { valid: false, breach: { fault: 'altered', seal: 1, event_id } }, name)
    t.strictSame((await verify()).breach, { fault: 'altered', seal: 1, event_id })
  }
})

test('somebody removes or inserts an event: it is named', async t => {
  const { db, ids } = await sealedHistory(t)
  await behindTheBack(db, sql`delete from events where id = ${ids[4]}`)
  t.match((await verifyAudit(db, everything)).breach, { fault: 'removed', event_id: ids[4] })
  await behindTheBack(db, sql`delete from events where id = ${ids[1]}`)
  t.match((await verifyAudit(db, everything)).breach, { fault: 'removed', event_id: ids[1] }, 'the first one')

  const other = await sealedHistory(t)
  const forge = (id: string, transaction: SQL) =>
    behindTheBack(
      other.db,
      sql`insert into events (id, transaction_id, type, actor_type, subject_type, changes)
        values (${id}, ${transaction}, 'test_note.created', 'system', 'test_note', '{}')`,
    )
  const inserted = newId()
  await forge(inserted, sql`(select transaction_id from events where id = ${other.ids[2]})`)
  t.match((await verifyAudit(other.db, everything)).breach, { fault: 'inserted', event_id: inserted })
  const first = firstIdAt(new Date(5))
  await forge(first, sql`-1`)
  t.match((await verifyAudit(other.db, everything)).breach, { fault: 'inserted', event_id: first })
})

test('somebody alters the seals to fit: that shows as well', async t => {
  const { db } = await sealedHistory(t)
  await write(db, systemActor())
  await sealAll(db)
  await t.rejects(db.execute(sql`update audit_seals set event_count = 4`), {
    cause: { message: /append-only/ },
  })
  await t.rejects(db.execute(sql`delete from audit_seals`), { cause: { message: /append-only/ } })
  await behindTheBack(db, sql`update audit_seals set hash = sha256(hash) where number = 1`)
  t.match((await verifyAudit(db, everything)).breach, { fault: 'seal_altered', seal: 1, event_id: null })

  const other = await sealedHistory(t)
  await write(other.db, systemActor())
  await sealAll(other.db)
  await behindTheBack(other.db, sql`update audit_seals set entries = null where number = 2`)
  t.match(
    (await verifyAudit(other.db, everything)).valid,
    false,
    'entries are given up only with their events',
  )
  const gone = sql`delete from events where id = (select last_id from audit_seals where number = 2)`
  await behindTheBack(other.db, gone)
  t.match(
    (await verifyAudit(other.db, everything)).breach,
    { fault: 'seal_altered', seal: 2 },
    'and with a reason',
  )
  await behindTheBack(other.db, sql`update audit_seals set expired_before = now() where number = 2`)
  t.match(
    (await verifyAudit(other.db, everything)).breach,
    { fault: 'seal_altered', seal: 2 },
    'that is on record',
  )
  await behindTheBack(other.db, sql`delete from audit_seals where number = 1`)
  t.match((await verifyAudit(other.db, everything)).breach, { fault: 'seal_missing', seal: 1 })
})

test('events are dropped by whole months when their time is over, and the rest stays provable', async t => {
  const database = await anotherDatabase(t)
  const { db } = database
  await ensurePartitions(db, new Date('2025-01-10T00:00:00Z'))
  const at = (time: string) =>
    inTransaction(db, tx =>
      tx.insert(events).values({
        id: firstIdAt(new Date(time)),
        created_at: new Date(time),
        type: 'test_note.created',
        actor_type: 'system',
        subject_type: 'test_note',
        changes: {},
      }),
    )
  await at('2025-01-10T00:00:00Z')
  await at('1999-01-10T00:00:00Z')
  await sealAll(db)
  // One seal over two months, of which one goes.
  await at('2025-01-20T00:00:00Z')
  await at('2025-02-10T00:00:00Z')
  await sealAll(db)
  const days = Math.floor((Date.now() - Date.parse('2025-02-03T00:00:00Z')) / 86_400_000)
  const { logger } = recordingLogger()
  const context = (config: JobContext['config']) =>
    ({ config, database, logger, actor: systemActor(), signal: new AbortController().signal }) as JobContext

  await expireEvents.run({}, context(testConfig()))
  t.equal((await db.select().from(events)).length, 4, 'by default nothing is dropped')

  const retaining = context(testConfig({ AUDIT_RETENTION_DAYS: String(days) }))
  await at('2025-01-25T00:00:00Z')
  await t.rejects(expireEvents.run({}, retaining), /sealed/, 'what is not sealed is not dropped')
  await eventsAreFinal(db)
  await sealEvents.run({}, retaining)
  await expireEvents.run({}, retaining)

  const left = await db.select({ id: events.id, type: events.type }).from(events).orderBy(events.id)
  t.equal(left[0]?.id, firstIdAt(new Date('2025-02-10T00:00:00Z')))
  t.strictSame(
    left.map(({ type }) => type),
    ['test_note.created', 'audit.expired'],
  )
  const found = await verifyAudit(db, everything)
  t.match(found, { valid: true, seals: 3, expired_before: new Date('2025-02-01T00:00:00Z') })
  await behindTheBack(db, sql`delete from events where type <> 'audit.expired'`)
  t.match((await verifyAudit(db, everything)).breach, { fault: 'removed', event_id: left[0]?.id })
})
