import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import { EventStream } from '../../../src/domains/events/event-stream.ts'
import { BEGINNING } from '../../../src/events/read.ts'
import { newId } from '../../../src/lib/id.ts'

test('who takes a large event slowly is not taken for one who takes nothing', async t => {
  const subscription = { owner_id: null, types: [], isAdmitted: async () => true }
  const stream = new EventStream(subscription, BEGINNING, { sure_ms: 60_000, heartbeat_ms: 60_000 })
  const whole = () => Buffer.alloc(500_000, 'x')
  const key = { transaction_id: 5n, id: newId(), type: 'post.updated', owner_id: null, size: 500_000 }
  stream.deliver(key, { whole, own: whole })
  t.notOk(stream.isReady, 'it is full')

  const STALL_MS = 200
  const began = performance.now()
  let taken = 0
  while (performance.now() - began < 2 * STALL_MS) {
    taken += stream.read(4_000)?.length ?? 0
    t.notOk(stream.isStalled(STALL_MS), `${taken} bytes`)
    await pause(STALL_MS / 10)
  }
  t.ok(taken < 500_000)
  while (!stream.isStalled(STALL_MS)) await pause(STALL_MS / 10)
  t.ok(performance.now() - began > 3 * STALL_MS - 20, 'it stalls when it stops')
  stream.destroy()
})
