import fc from 'fast-check'
import { test } from 'tap'
import { createMemoryCounters } from '../../src/rate-limits/memory-counters.ts'

const login = { key: 'login:1', quota: 2, seconds: 60 }
const day = { key: 'day:1', quota: 3, seconds: 86_400 }

function atTime(most?: number) {
  const clock = { now: 1_000 }
  const counters = createMemoryCounters({ now: () => clock.now, ...(most !== undefined && { most }) })
  return { clock, counters }
}

test('a window begins with its first request and lasts as long as it says', async t => {
  const { clock, counters } = atTime()
  t.strictSame(counters.look([login]), { refused: false, counts: [{ used: 0, resets_in_ms: 60_000 }] })
  t.strictSame(counters.take([login]), { refused: false, counts: [{ used: 1, resets_in_ms: 60_000 }] })
  clock.now += 59_999
  t.strictSame(counters.take([login]), { refused: false, counts: [{ used: 2, resets_in_ms: 1 }] })
  t.strictSame(counters.take([login]), { refused: true, counts: [{ used: 2, resets_in_ms: 1 }] })
  clock.now += 1
  t.strictSame(counters.take([login]), { refused: false, counts: [{ used: 1, resets_in_ms: 60_000 }] })
})

test('looking costs nothing', async t => {
  const { counters } = atTime()
  counters.take([login])
  for (let turn = 0; turn < 10; turn++) counters.look([login])
  t.equal(counters.look([login]).counts[0]?.used, 1)
  counters.take([login])
  t.equal(counters.look([login]).refused, true)
})

test('who is refused by one limit uses up none', async t => {
  const { clock, counters } = atTime()
  counters.take([login, day])
  counters.take([login, day])
  for (let turn = 0; turn < 10; turn++) t.equal(counters.take([login, day]).refused, true)
  clock.now += 60_000
  const third = counters.take([login, day])
  t.strictSame(third.refused, false, 'of the day’s, one was left')
  t.strictSame(
    third.counts.map(({ used }) => used),
    [1, 3],
  )
  t.equal(counters.take([login, day]).refused, true, 'and then none')
})

test('others are counted apart, and another quota counts on', async t => {
  const { counters } = atTime()
  counters.take([login])
  counters.take([login])
  t.equal(counters.take([{ ...login, key: 'login:2' }]).refused, false)
  t.equal(counters.take([{ ...login, quota: 3 }]).refused, false)
  t.equal(counters.take([{ ...login, quota: 1 }]).refused, true)
})

test('what was counted elsewhere is taken over', async t => {
  const { clock, counters } = atTime()
  counters.adopt([login], [{ used: 1, resets_in_ms: 5_000 }])
  t.strictSame(counters.take([login]), { refused: false, counts: [{ used: 2, resets_in_ms: 5_000 }] })
  t.equal(counters.take([login]).refused, true)
  clock.now += 5_000
  t.equal(counters.take([login]).refused, false)
})

test('memory is bounded, and the oldest go first', async t => {
  const { clock, counters } = atTime(100)
  const of = (number: number) => ({ key: `address:${number}`, quota: 5, seconds: 60 })
  for (let number = 0; number < 1_000; number++) {
    clock.now++
    counters.take([of(number)])
  }
  const known = Array.from({ length: 1_000 }, (_, number) => counters.look([of(number)]).counts[0]?.used)
  t.strictSame(known, [...Array(900).fill(0), ...Array(100).fill(1)])
})

test('for any order of requests, a window lets through what it should', async () => {
  const step = fc.record({ wait: fc.integer({ min: 0, max: 40_000 }), who: fc.integer({ min: 0, max: 3 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const { clock, counters } = atTime()
      const model = new Map<number, { used: number; since: number }>()
      return steps.every(({ wait, who }) => {
        clock.now += wait
        const before = model.get(who)
        const open = before !== undefined && clock.now - before.since < 60_000
        const window = open ? before : { used: 0, since: clock.now }
        const refused = window.used >= 2
        if (!refused) window.used++
        model.set(who, window)
        const counted = counters.take([{ key: `who:${who}`, quota: 2, seconds: 60 }])
        return counted.refused === refused && counted.counts[0]?.used === window.used
      })
    }),
  )
})
