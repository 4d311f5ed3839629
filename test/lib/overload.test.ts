import { test } from 'tap'
import { createExpectedWait } from '../../src/lib/expected-wait.ts'
import { createLine } from '../../src/lib/line.ts'
import { createOverload } from '../../src/lib/overload.ts'
import { createWaitGuard } from '../../src/lib/wait-guard.ts'

test('who comes waits as long as those before take together', async t => {
  const wait = createExpectedWait()
  t.equal(wait.at(0, { waiting: 0, answered: 0 }), 0)
  t.equal(wait.at(1, { waiting: 10, answered: 0 }), 0, 'nothing is known yet')
  t.equal(wait.at(11, { waiting: 10, answered: 5 }), 20, 'one in two milliseconds')
  t.equal(wait.at(12, { waiting: 0, answered: 15 }), 0)
  t.equal(wait.at(60_000, { waiting: 0, answered: 15 }), 0)
  const idle = wait.at(60_010, { waiting: 3, answered: 15 })
  t.ok(idle > 0 && idle < 6, 'the minute in which nobody waited does not count')
})

test('a line that stands still becomes longer with time', async t => {
  const wait = createExpectedWait()
  for (let now = 0; now <= 1_000; now += 10) wait.at(now, { waiting: 10, answered: now })
  t.ok(wait.at(1_010, { waiting: 10, answered: 1_010 }) < 11)
  let last = 0
  for (let now = 1_020; now <= 3_000; now += 10) last = wait.at(now, { waiting: 10, answered: 1_010 })
  t.ok(last >= 1_990, 'as long as nothing has been answered')
  t.equal(wait.at(3_010, { waiting: 0, answered: 1_020 }), 0, 'and is over at once')
})

const options = { alarm_ms: 250, after_ms: 100, limit_ms: 20, calm_ms: 1_000 }

test('a burst is let in, a line that always stands is not', async t => {
  const guard = createWaitGuard(options)
  for (let now = 0; now < 100; now += 10) t.ok(guard.admits(now, 1_000), 'however long')
  t.ok(guard.admits(100, 250), 'one look at a shorter line begins anew')
  for (let now = 110; now < 210; now += 10) t.ok(guard.admits(now, 251))
  t.notOk(guard.isOn(209))
  t.notOk(guard.admits(210, 251), 'too long for 100 ms without exception')
  t.ok(guard.isOn(210))
  t.notOk(guard.admits(220, 21))
  t.ok(guard.admits(230, 20), 'a short line keeps the core at work')
  t.ok(guard.isOn(1_220))
  t.notOk(guard.isOn(1_221), 'nobody was refused for a second')
  t.ok(guard.admits(1_221, 240), 'so it takes another alarm')
})

test('looks that are far apart are not taken for one long line', async t => {
  const guard = createWaitGuard(options)
  t.ok(guard.admits(0, 300))
  t.ok(guard.admits(301, 300), 'all who waited then have had their turn')
  t.notOk(guard.admits(500, 300))
})

test('each of three things can be too much', async t => {
  const line = { waiting: 0, answered: 0 }
  const pool = { waiting: 0, answered: 0 }
  let heap = 0.1
  const overload = createOverload({ line: () => ({ ...line }), pool: () => ({ ...pool }), heap: () => heap })
  t.equal(overload.reasonToRefuse(0), undefined)
  t.strictSame(overload.reasons(0), [])

  heap = 0.91
  t.equal(overload.reasonToRefuse(1), 'heap')
  heap = 0.86
  t.equal(overload.reasonToRefuse(2), 'heap', 'until there is room')
  heap = 0.85
  t.equal(overload.reasonToRefuse(3), undefined)

  let now = 10
  for (let reason: string | undefined; reason === undefined && now < 5_000; now += 10) {
    pool.waiting = 50
    reason = overload.reasonToRefuse(now)
  }
  t.ok(now > 750 && now < 800, 'nothing was answered for half a second, and a quarter')
  t.strictSame(overload.reasons(now), ['database'])
  t.ok(overload.figures(now).database_wait_ms > 500)
  pool.waiting = 0
  pool.answered = 50
  t.equal(overload.reasonToRefuse(now + 1), undefined, 'the database answers')

  now = 10_000
  let reason: string | undefined
  for (; reason === undefined && now < 11_000; ) {
    now += 10
    line.waiting = 600
    line.answered += 10
    reason = overload.reasonToRefuse(now)
  }
  t.equal(reason, 'event_loop')
  t.equal(overload.lineLimit(now, 'event_loop'), 20, 'what can be done in 20 ms')
  t.equal(overload.lineLimit(now, 'database'), 600)
})

test('who has a database with one connection is more patient', async t => {
  const idle = { waiting: 0, answered: 0 }
  const pool = { waiting: 5, answered: 0 }
  const overload = createOverload({ line: () => idle, pool: () => pool, heap: () => 0, isEmbedded: true })
  for (let now = 0; now < 11_000; now += 10) t.equal(overload.reasonToRefuse(now), undefined)
  t.equal(overload.reasonToRefuse(11_100), 'database')
})

test('a line gives its first and its last', async t => {
  const line = createLine<number>()
  const count = 5_000
  for (let number = 0; number < count; number++) line.push(number)
  const taken = Array.from({ length: count - 1 }, () => line.first())
  t.ok(taken.every((item, index) => item === index))
  t.equal(line.length, 1)
  t.equal(line.last(), count - 1)
  t.equal(line.last(), undefined)
  t.equal(line.first(), undefined)
  line.push(7)
  t.equal(line.first(), 7)
})
