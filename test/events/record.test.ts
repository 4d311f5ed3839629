import { Type } from '@sinclair/typebox'
import { eq, sql } from 'drizzle-orm'
import { test } from 'tap'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Db, Tx } from '../../src/db/types.ts'
import { allEventTypes, defineEvent } from '../../src/events/event-type.ts'
import { record } from '../../src/events/record.ts'
import { events } from '../../src/events/tables.ts'
import { type Actor, systemActor } from '../../src/lib/actor.ts'
import { newId } from '../../src/lib/id.ts'
import { testDatabase } from '../database.ts'

const Account = Type.Object({
  email: Type.String(),
  full_name: Type.String(),
  tags: Type.Array(Type.String()),
  last_login_at: Type.Unsafe<Date | null>({ type: 'string' }),
})
const accountUpdated = defineEvent('test_account.updated', Account)

const person: Actor = {
  type: 'user',
  id: newId(),
  origin: { request_id: 'request-1', ip: '192.0.2.7', user_agent: `curl/8 ${'x'.repeat(1000)}` },
}

interface Row {
  email?: string
  full_name?: string
  tags?: string[]
  last_login_at?: Date | null
  password_hash?: string
}

async function recorded(db: Db, states: { before?: Row; after?: Row }) {
  const subject_id = newId()
  await inTransaction(db, tx =>
    record(tx, person, accountUpdated, { subject_id, owner_id: person.id, ...states }),
  )
  const [event] = await db.select().from(events).where(eq(events.subject_id, subject_id))
  return event
}

test('an event says who, what, whose, from where and when', async t => {
  const { db } = await testDatabase()
  const event = await recorded(db, { after: { email: 'a@example.com' } })
  t.match(event, {
    type: 'test_account.updated',
    actor_type: 'user',
    actor_id: person.id,
    owner_id: person.id,
    subject_type: 'test_account',
    request_id: 'request-1',
    ip: '192.0.2.7',
    changes: { email: [null, 'a@example.com'] },
  })
  t.equal(event?.user_agent, person.origin.user_agent)
  t.ok(Math.abs(Date.now() - Number(event?.created_at)) < 60_000)
  const time = Number.parseInt((event?.id ?? '').replaceAll('-', '').slice(0, 12), 16)
  t.equal(Number(event?.created_at), time, 'the id carries the same time')
})

test('changes hold the fields that differ, and no other', async t => {
  const { db } = await testDatabase()
  const before = {
    email: 'a@example.com',
    full_name: 'A',
    tags: ['x'],
    last_login_at: new Date(0),
    password_hash: 'planted-old',
  }
  const same = await recorded(db, { before, after: { ...before, password_hash: 'planted-new' } })
  t.strictSame(same?.changes, {}, 'equal arrays and dates are no change, nor is what no client sees')
  const some = await recorded(db, { before, after: { ...before, full_name: 'B', tags: ['x', 'y'] } })
  t.strictSame(some?.changes, { full_name: ['A', 'B'], tags: [['x'], ['x', 'y']] })
  const part = await recorded(db, { before, after: { full_name: 'C' } })
  t.strictSame(part?.changes, { full_name: ['A', 'C'] }, 'what was not read again has not changed')
  const cleared = await recorded(db, { before, after: { ...before, last_login_at: null } })
  t.strictSame(cleared?.changes, { last_login_at: ['1970-01-01T00:00:00.000Z', null] })
  const gone = await recorded(db, { before })
  t.strictSame(Object.keys(gone?.changes ?? {}).sort(), ['email', 'full_name', 'last_login_at', 'tags'])
  t.strictSame(gone?.changes.email, ['a@example.com', null])
  const everything = await db.select().from(events)
  t.notMatch(JSON.stringify(everything.map(({ changes }) => changes)), /planted/)
})

test('what is rolled back was never recorded', async t => {
  const { db } = await testDatabase()
  const subject_id = newId()
  await t.rejects(
    inTransaction(db, async tx => {
      await record(tx, systemActor(), accountUpdated, { subject_id, owner_id: null, after: {} })
      throw new Error('planned')
    }),
    /planned/,
  )
  t.strictSame(await db.select().from(events).where(eq(events.subject_id, subject_id)), [])
})

test('it compiles only inside a transaction', async t => {
  const facts = { subject_id: null, owner_id: null, after: {} }
  const outside = (db: Db) =>
    // @ts-expect-error: a pool is not a transaction
    record(db, systemActor(), accountUpdated, facts)
  const inside = (tx: Tx) => record(tx, systemActor(), accountUpdated, facts)
  t.strictSame([outside.length, inside.length], [1, 1])
})

test('the rows cannot be changed or removed', async t => {
  const { db } = await testDatabase()
  const event = await recorded(db, { after: { email: 'kept@example.com' } })
  const partition = `events_${new Date().toISOString().slice(0, 7).replace('-', '_')}`
  for (const table of ['events', partition]) {
    for (const statement of [
      sql`update ${sql.identifier(table)} set type = 'other' where id = ${event?.id}`,
      sql`delete from ${sql.identifier(table)} where id = ${event?.id}`,
      sql`truncate ${sql.identifier(table)}`,
    ]) {
      await t.rejects(db.execute(statement), { cause: { message: /append-only/ } })
    }
  }
  await t.rejects(db.execute(sql`truncate events_rest`), { cause: { message: /append-only/ } })
})

test('a type is defined once, and belongs to its subject', t => {
  t.throws(() => defineEvent('test_account.updated', Account), /defined twice/)
  t.match(
    allEventTypes().find(({ name }) => name === 'test_account.updated'),
    { subject: 'test_account' },
  )
  t.end()
})
