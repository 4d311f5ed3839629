import { EventEmitter, once } from 'node:events'
import { test } from 'tap'
import { repeat } from '../../src/lib/repeat.ts'
import { recordingLogger } from '../helper.ts'

test('it goes on after failures, and logs when they begin and end', async t => {
  const { logger, lines } = recordingLogger()
  const ticks = new EventEmitter()
  let count = 0
  const repeating = repeat(
    async () => {
      count++
      ticks.emit(String(count))
      if (count > 1 && count < 5) throw new Error('planned')
    },
    { every_ms: 1, logger, failure: 'ticking' },
  )
  await once(ticks, '7')
  await repeating.end()
  t.match(lines(), [
    { level: 40, failure: 'ticking', err: { message: 'planned' } },
    { level: 30, failure: 'ticking', msg: 'it works again' },
  ])
  t.equal(lines().length, 2)
  const ended = count
  await new Promise(setImmediate)
  t.equal(count, ended)
})

test('asked while it works, it works again at once; asked while it waits, it waits no longer', async t => {
  const { logger } = recordingLogger()
  const ticks = new EventEmitter()
  let count = 0
  let finish = () => {}
  const repeating = repeat(
    () =>
      new Promise<void>(resolve => {
        ticks.emit(String(++count))
        finish = resolve
      }),
    { every_ms: 3_600_000, logger, failure: 'ticking' },
  )
  repeating.soon()
  const second = once(ticks, '2')
  finish()
  await second
  finish()
  await new Promise(setImmediate)
  const third = once(ticks, '3')
  repeating.soon()
  await third
  const over = repeating.end()
  finish()
  await over
  t.equal(count, 3)
})
