import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { connectPostgres } from '../../../src/db/postgres.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import { BEGINNING, readEvents } from '../../../src/events/read.ts'
import { record } from '../../../src/events/record.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { firstIdAt, newId } from '../../../src/lib/id.ts'
import { anotherDatabase, createServerDatabase, eventsAreFinal, serverUrl } from '../../database.ts'
import { aUser, listen, testConfig } from '../../helper.ts'
import { type Following, note, noted, opened } from './following.ts'

const resuming = (headers: Record<string, string>, last: Following | string) => ({
  ...headers,
  'last-event-id': typeof last === 'string' ? last : last.lastId(),
})

test('a stream goes on behind the last id, be it of an event or of a place, here or elsewhere', async t => {
  const database = await anotherDatabase(t)
  const { db } = database
  const { app, url } = await listen(t, { database })
  const user = await aUser(app)
  const first = await opened(t, url, user.headers)
  await first.close()
  for (const number of [1, 2, 3]) await note(db, user.id, number)
  const second = await opened(t, url, resuming(user.headers, first))
  await second.heard(3)
  t.strictSame(second.numbers(), [1, 2, 3], 'by a place')
  await second.close()
  await note(db, user.id, 4)
  await app.close()

  // As after a restart, and on another process.
  const next = await listen(t, { database })
  const third = await opened(t, next.url, resuming(user.headers, second))
  await note(db, user.id, 5)
  await third.heard(5)
  t.strictSame(third.numbers(), [4, 5], 'by an event')
  const upper = await opened(t, next.url, resuming(user.headers, second.lastId().toUpperCase()))
  await upper.heard(5)
  t.strictSame(upper.numbers(), [4, 5])
  const typed = await opened(t, next.url, resuming(user.headers, second), '?types=item.*')
  const empty = await opened(t, next.url, resuming(user.headers, ''))
  await note(db, user.id, 6)
  await empty.heard(6)
  t.strictSame(empty.numbers(), [6], 'empty is as good as absent')
  t.strictSame(typed.numbers(), [])
})

test('an id that is not there skips nothing, and one from the future is now', async t => {
  const database = await anotherDatabase(t)
  const { db } = database
  const { app, url } = await listen(t, { database })
  const user = await aUser(app)
  for (const number of [1, 2]) await note(db, user.id, number)
  await eventsAreFinal(db)
  const dropped = await opened(
    t,
    url,
    resuming(user.headers, firstIdAt(new Date(Date.now() - 86_400_000 * 90))),
  )
  await dropped.heard(2)
  t.strictSame(dropped.numbers(), [1, 2])
  const nowhere = await opened(t, url, resuming(user.headers, newId()))
  await nowhere.heard(2)
  t.strictSame(nowhere.numbers(), [1, 2])
  const again = await opened(t, url, resuming(user.headers, nowhere.blocks[0]?.id ?? ''))
  await again.heard(2)
  t.strictSame(again.numbers(), [1, 2], 'who was cut off before the first event may come back with its place')
  const place = `after-${'9'.repeat(18)}-${newId()}`
  const future = await opened(t, url, resuming(user.headers, place))
  await note(db, user.id, 3)
  await future.heard(3)
  t.strictSame(future.numbers(), [3])
})

test('of a long history nothing is lost, and large events come one by one', async t => {
  const database = await anotherDatabase(t)
  const { db } = database
  const { app, url } = await listen(t, { database })
  const [user, admin] = [await aUser(app), await aUser(app, 'admin')]
  const before = await opened(t, url, user.headers)
  await before.close()
  const text = 'x'.repeat(300_000)
  await inTransaction(db, async tx => {
    for (let number = 1; number <= 730; number++) {
      const after = { number, text: number % 100 === 0 ? text : '' }
      const owner_id = number % 3 === 0 ? admin.id : user.id
      await record(tx, systemActor(), noted, { subject_id: null, owner_id, after })
    }
  })
  const own = await opened(t, url, resuming(user.headers, before))
  const all = await opened(t, url, resuming(admin.headers, before), '?scope=all')
  await Promise.all([own.heard(730), all.heard(730)])
  const numbers = Array.from({ length: 730 }, (_, index) => index + 1)
  t.strictSame(
    own.numbers(),
    numbers.filter(number => number % 3 !== 0),
  )
  t.strictSame(all.numbers(), numbers)
})

test('whoever is cut off again and again, anywhere, gets each event once and in order, while others write', async t => {
  const url = serverUrl && (await createServerDatabase(t))
  const own = url ? connectPostgres(url, testConfig()) : await anotherDatabase(t)
  const other = url ? connectPostgres(url, testConfig()) : own
  if (url) t.teardown(() => Promise.all([own.close(), other.close()]))
  const { db } = own
  // Two processes, as far as the database can tell; the embedded one is for one process.
  const [here, there] = [await listen(t, { database: own }), await listen(t, { database: other })]
  const [user, stranger] = [await aUser(here.app), await aUser(here.app)]
  const quiet = await opened(t, here.url, user.headers)
  const started = await opened(t, there.url, user.headers)
  await started.close()

  let number = 0
  const write = async () => {
    for (let turn = 0; turn < 60; turn++) {
      await inTransaction(db, async tx => {
        for (let count = randomInt(1, 4); count > 0; count--) {
          const after = { number: ++number, text: 'x'.repeat(randomInt(10) === 0 ? 50_000 : 20) }
          await record(tx, systemActor(), noted, { subject_id: null, owner_id: user.id, after })
          await record(tx, systemActor(), noted, { subject_id: null, owner_id: stranger.id, after })
          // Transactions overlap, and end in another order than they began.
          if (url) await sleep(randomInt(8))
        }
        if (randomInt(10) === 0) throw new Error('planned')
      }).catch(error => {
        if (error.message !== 'planned') throw error
      })
    }
  }
  let writing = true
  const written = Promise.all([write(), write(), write(), write()]).then(() => {
    writing = false
  })
  const heard: { id: string; number: number }[] = []
  let last = started.lastId()
  let rounds = 0
  for (let done = false; !done; rounds++) {
    done = !writing
    const { url: address } = rounds % 2 === 0 ? here : there
    const stream = await opened(t, address, resuming(user.headers, last))
    const count = done ? Number.POSITIVE_INFINITY : randomInt(1, 30)
    const finalEvent = done ? await lastOwn() : undefined
    await stream.when(() => {
      const { length } = stream.numbers()
      return length >= count || !writing || stream.lastId() === finalEvent
    })
    if (finalEvent) await stream.when(() => [last, ...stream.blocks.map(({ id }) => id)].includes(finalEvent))
    await stream.close()
    for (const { id = '', data } of stream.blocks) {
      last = id
      if (data !== undefined) heard.push({ id, number: JSON.parse(data).changes.number[1] })
    }
  }
  await written

  async function lastOwn() {
    await eventsAreFinal(db)
    return (await ownEvents()).at(-1)?.id
  }
  async function ownEvents() {
    const found = await readEvents(db, BEGINNING, 100_000)
    return found.filter(({ owner_id, type }) => owner_id === user.id && type === noted.name)
  }
  const expected = (await ownEvents()).map(({ id }) => id)
  t.ok(rounds > 3, `${rounds} streams, ${expected.length} events`)
  t.strictSame(
    heard.map(({ id }) => id),
    expected,
    'by one that was cut off',
  )
  await quiet.when(() => quiet.lastId() === expected.at(-1))
  t.strictSame(
    quiet.blocks.filter(({ data }) => data !== undefined).map(({ id }) => id),
    expected,
    'by one that stayed',
  )
})
