import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { inTransaction } from '../../../src/db/transaction.ts'
import { createReader, fanOut, suitable } from '../../../src/domains/webhooks/delivery/fan-out.ts'
import { eventReaders } from '../../../src/events/tables.ts'
import { eventsAreFinal, serverUrl } from '../../database.ts'
import { deliveriesOf } from './calls.ts'
import { happen, happenOnce, noteAll, waiting } from './delivering.ts'

test('1 200 events are noted once each, whoever else notes them', async t => {
  const { app, db, owner, webhook } = await waiting(t, 0)
  await inTransaction(db, async tx => {
    await tx.execute(sql`
      insert into events (id, type, actor_type, owner_id, subject_type, changes)
      select gen_random_uuid(), 'item.created', 'system', ${owner.id}, 'item', '{}' from generate_series(1, 1200)`)
  })
  await eventsAreFinal(db)
  const counts = await Promise.all(Array.from({ length: 6 }, () => fanOut(db)))
  while (counts.at(-1) !== 0 || counts.length < 7) counts.push(await fanOut(db))
  t.equal(
    counts.reduce((sum, count) => sum + count, 0),
    1_200,
  )
  t.ok(Math.max(...counts) <= 500)
  t.equal((await deliveriesOf(app, webhook.id)).length, 1_200)
})

test('a failure while they are noted leaves nothing half done', async t => {
  const { app, db, owner, webhook } = await waiting(t, 0)
  await happen(db, owner.id, 3)
  await eventsAreFinal(db)
  const place = () => db.select().from(eventReaders)
  const before = await place()
  await t.rejects(
    inTransaction(db, async tx => {
      t.equal(await fanOut(tx), 3)
      throw new Error('planned')
    }),
    { message: 'planned' },
  )
  t.strictSame(await place(), before)
  t.strictSame(await deliveriesOf(app, webhook.id), [])
  t.equal(await fanOut(db), 3)
  t.equal((await deliveriesOf(app, webhook.id)).length, 3)
  t.equal(await fanOut(db), 0)
})

test('more than a statement can note is noted in smaller portions', async t => {
  const { app, db, owner, webhook } = await waiting(t, 0)
  // In the place of a statement timeout, which both databases do not have.
  await db.execute(sql`
    create function refuse_many() returns trigger language plpgsql as $$
    begin if (select count(*) from noted) > 3 then raise 'too many'; end if; return null; end $$`)
  await db.execute(sql`
    create trigger refuse_many after insert on webhook_deliveries referencing new table as noted
    for each statement execute function refuse_many()`)
  await happen(db, owner.id, 40)
  await eventsAreFinal(db)
  const readOn = createReader(db)
  let failures = 0
  for (let some = true; some && failures < 100; ) {
    try {
      some = (await readOn()).some
    } catch {
      failures++
    }
  }
  t.equal((await deliveriesOf(app, webhook.id)).length, 40)
})

test('as many events are read at once as do not take long', async t => {
  const cases: [...Parameters<typeof suitable>, expected: number, why: string][] = [
    [500, 500, 20, 500, 'never more than there may be'],
    [500, 500, 200, 250, 'in half the time, half of them'],
    [500, 10, 1_000, 1, 'what took long is what there was'],
    [1, 1, 9_000, 1, 'at least one'],
    [4, 4, 20, 8, 'twice as many after few'],
    [4, 3, 20, 4, 'no more are needed'],
    [4, 0, 5_000, 4, 'nothing was read'],
  ]
  for (const [asked, count, took_ms, expected, why] of cases) {
    t.equal(suitable(asked, count, took_ms), expected, why)
  }
})

// Two transactions at once need two connections.
if (serverUrl !== undefined) {
  test('who commits late is waited for, not skipped', async t => {
    const { app, db, owner, webhook } = await waiting(t, 0)
    let commit = () => {}
    const held = new Promise<void>(resolve => {
      commit = resolve
    })
    let begun = () => {}
    const recorded = new Promise<void>(resolve => {
      begun = resolve
    })
    const late = inTransaction(db, async tx => {
      await happenOnce(tx, owner.id, 'late')
      begun()
      await held
    })
    await recorded
    await happen(db, owner.id)
    t.equal(await fanOut(db), 0, 'the earlier transaction could still add to it')
    commit()
    await late
    await noteAll(db)
    t.equal((await deliveriesOf(app, webhook.id)).length, 2)
  })

  test('who began earlier, but had to wait for the place, notes what is sent later', async t => {
    const { app, db, owner, webhook } = await waiting(t, 0)
    await inTransaction(db, async tx => {
      // From here on its now() stands still.
      await tx.execute(sql`select 1`)
      await happen(db, owner.id)
      await noteAll(db)
      await happen(db, owner.id)
      await eventsAreFinal(db)
      t.equal(await fanOut(tx), 1)
    })
    const [first, second] = await deliveriesOf(app, webhook.id)
    t.ok(Number(first?.next_attempt_at) <= Number(second?.next_attempt_at))
  })
}
