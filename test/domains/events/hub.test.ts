import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Logger, pino } from 'pino'
import { type Test, test } from 'tap'
import type { Db } from '../../../src/db/types.ts'
import { createHub, type Timings } from '../../../src/domains/events/hub.ts'
import { firstIdAt, newId } from '../../../src/lib/id.ts'
import { testDatabase } from '../../database.ts'
import { recordingLogger } from '../../helper.ts'
import { type Block, createParser, note, noted, numberOf } from './following.ts'

interface HubSettings {
  timings?: Partial<Timings>
  per_user?: number
  at_all?: number
  db?: Db
  logger?: Logger
}

/** A hub alone, whose times need not be waited for. */
async function aHub(t: Test, { timings = {}, per_user = 1_000, at_all = 1_000, ...rest }: HubSettings = {}) {
  const { db } = await testDatabase()
  const state = { isEnding: false }
  const hub = createHub({
    db: rest.db ?? db,
    logger: rest.logger ?? pino({ level: 'silent' }),
    per_user,
    at_all,
    isEnding: () => state.isEnding,
    timings: { read_ms: 10, ask_ms: 20, look_ms: 10, ...timings },
  })
  t.teardown(() => hub.end())
  const open = (
    owner_id: string,
    options: { isAdmitted?: () => Promise<boolean>; last_event_id?: string } = {},
  ) => hub.open({ user_id: owner_id, owner_id, types: [], isAdmitted: async () => true, ...options })
  return { db, hub, open, state }
}

type Stream = Awaited<ReturnType<Awaited<ReturnType<typeof aHub>>['open']>>

/** Reads a stream as a client would. */
function reading(stream: Stream) {
  const blocks: Block[] = []
  const parse = createParser(block => blocks.push(block))
  stream.on('data', (chunk: Buffer) => parse(chunk.toString()))
  const numbers = () => blocks.filter(({ event }) => event === noted.name).map(numberOf)
  const when = async (isSo: () => boolean) => {
    while (!isSo()) await once(stream, 'data')
  }
  return { blocks, numbers, when, heard: (number: number) => when(() => numbers().includes(number)) }
}

test('nobody need wait for an event to know that the connection is alive, and where it is', async t => {
  const { db, open } = await aHub(t, { timings: { heartbeat_ms: 30 } })
  const user_id = newId()
  const { blocks, when } = reading(await open(user_id))
  await when(() => blocks.length === 4)
  const place = /^id: after-\d+-[0-9a-f-]{36}$/
  for (const { raw } of blocks.slice(1)) {
    const [comment, id = '', ...rest] = raw.split('\n')
    t.match([comment, rest], [':', []])
    t.match(id, place)
  }
  const positions = () => blocks.map(({ id }) => id)
  const before = positions().at(-1)
  await note(db, newId(), 1)
  await when(() => positions().at(-1) !== before)
  t.match(
    positions().at(-1),
    /^after-/,
    'the place moves on with the events of others, but does not name them',
  )
  const resumed = reading(await open(user_id, { last_event_id: positions().at(-1) ?? '' }))
  await note(db, user_id, 2)
  await resumed.heard(2)
  t.strictSame(resumed.numbers(), [2])
})

test('who takes nothing is not waited for, holds little memory, and is dropped', async t => {
  const { db, hub, open } = await aHub(t, { timings: { stall_ms: 1_500 } })
  const user_id = newId()
  const slow = await open(user_id)
  const quick = reading(await open(user_id))
  const text = 'x'.repeat(20_000)
  const gone = once(slow, 'close').then(() => performance.now())
  const began = performance.now()
  let most = 0
  for (let number = 1; number <= 100; number++) {
    await note(db, user_id, number, { text })
    await quick.heard(number)
    most = Math.max(most, slow.readableLength)
  }
  t.equal(quick.numbers().length, 100)
  t.ok(most >= 64 * 1024 && most < 64 * 1024 + 21_000, `${most} bytes waited for the slow one`)
  t.ok((await gone) - began >= 1_500)
  t.equal(hub.size, 1)
})

test('who was slow for a while gets everything, once and in order', async t => {
  const { db, open } = await aHub(t)
  const user_id = newId()
  const stream = await open(user_id)
  const text = 'x'.repeat(20_000)
  for (let number = 1; number <= 40; number++) await note(db, user_id, number, { text })
  const other = reading(await open(user_id))
  await note(db, user_id, 41)
  await other.heard(41)
  t.ok(stream.readableLength < 64 * 1024 + 21_000)
  const late = reading(stream)
  await late.heard(41)
  await note(db, user_id, 42)
  await late.heard(42)
  t.strictSame(
    late.numbers(),
    Array.from({ length: 42 }, (_, index) => index + 1),
  )
})

test('over a socket, too: a client that does not read costs some buffers and its place for a while', async t => {
  const { db, hub, open } = await aHub(t, { timings: { stall_ms: 500 } })
  const user_id = newId()
  const server = createServer(async (_request, response) => {
    const stream = await open(user_id)
    response.once('close', () => stream.destroy())
    stream.once('close', () => response.destroy())
    stream.pipe(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const request = get({ port, agent: false })
  request.on('error', () => {})
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.pause()
  response.on('error', () => {})
  const gone = new Promise(resolve => response.once('close', resolve))
  const quick = reading(await open(user_id))
  const text = 'x'.repeat(90_000)
  let number = 0
  // Until the buffers of the system are full, and its time is up.
  while (hub.size === 2) {
    await note(db, user_id, ++number, { text })
    await quick.heard(number)
  }
  t.equal(hub.size, 1)
  response.resume()
  await gone
  t.equal(response.complete, false, 'the client can tell that it was cut off')
})

test('while nobody knows whether a client is still let in, it gets nothing; then all that it missed', async t => {
  const { db, open } = await aHub(t, { timings: { sure_ms: 60 } })
  const [user_id, other_id] = [newId(), newId()]
  let known = true
  const asked = { failures: 0 }
  const stream = await open(user_id, {
    isAdmitted: async () => {
      if (known) return true
      asked.failures++
      throw new Error('the database is away')
    },
  })
  const { numbers, heard } = reading(stream)
  await note(db, user_id, 1)
  await heard(1)
  known = false
  while (stream.isReady) await new Promise(setImmediate)
  const other = reading(await open(other_id))
  await note(db, user_id, 2)
  await note(db, other_id, 3)
  await other.heard(3)
  t.strictSame(numbers(), [1])
  t.ok(asked.failures > 0)
  t.notOk(stream.over)
  known = true
  await heard(2)
  t.strictSame(numbers(), [1, 2])
})

test('who is refused when asked again hears nothing more, also of what waits', async t => {
  const { db, hub, open } = await aHub(t)
  const user_id = newId()
  let admitted = true
  const stream = await open(user_id, { isAdmitted: async () => admitted })
  const { numbers, heard } = reading(stream)
  await note(db, user_id, 1)
  await heard(1)
  admitted = false
  await once(stream, 'close')
  t.equal(stream.readableEnded, true)
  t.strictSame(numbers(), [1])
  t.equal(hub.size, 0)
})

test('a failure of the database neither ends a stream nor loses an event', async t => {
  const { db } = await testDatabase()
  let away = false
  const failing = new Proxy(db, {
    get(target, name, receiver) {
      if (away && (name === 'select' || name === '_')) throw new Error('the database is away')
      return Reflect.get(target, name, receiver)
    },
  })
  const { open } = await aHub(t, { db: failing })
  const user_id = newId()
  const live = await open(user_id)
  const { numbers, heard } = reading(live)
  await note(db, user_id, 1)
  await heard(1)
  away = true
  await note(db, user_id, 2)
  await t.rejects(open(user_id, { last_event_id: newId() }), /away/)
  away = false
  await heard(2)
  t.strictSame(numbers(), [1, 2])
})

test('whose catching up fails gets everything when it works again, and the log is told once', async t => {
  const { db } = await testDatabase()
  let failures = 0
  const failing = new Proxy(db, {
    get(target, name, receiver) {
      if (name === 'select' && failures < 6) {
        failures++
        throw new Error('the database is away')
      }
      return Reflect.get(target, name, receiver)
    },
  })
  const { logger, lines } = recordingLogger('warn')
  const { open } = await aHub(t, { db: failing, logger, timings: { read_ms: 60_000 } })
  const user_id = newId()
  await note(db, user_id, 1)
  const place = { last_event_id: `after-0-${firstIdAt(new Date(0))}` }
  const gone = await open(newId(), place)
  gone.destroy()
  const { numbers, heard } = reading(await open(user_id, place))
  await heard(1)
  t.strictSame(numbers(), [1])
  t.equal(failures, 6)
  const told = lines().filter(({ msg }) => msg.startsWith('live streams cannot catch up'))
  t.equal(told.length, 1)
})

test('a process that ends does not wait for who takes nothing', async t => {
  const { db, hub, open, state } = await aHub(t)
  const user_id = newId()
  const fill = async () => {
    const stream = await open(user_id)
    for (let number = 1; stream.hasRoom; number++) {
      await note(db, user_id, number, { text: 'x'.repeat(50_000) })
      const waits = stream.readableLength
      while (stream.hasRoom && stream.readableLength === waits) await new Promise(setImmediate)
    }
    return stream
  }
  const told = await fill()
  state.isEnding = true
  await once(told, 'close')
  t.equal(told.readableEnded, false)
  state.isEnding = false
  const closed = once(await fill(), 'close')
  await hub.end()
  await closed
  t.equal(hub.size, 0)
})

test('there are so many places in all, and none is lost, however a stream ends', async t => {
  const { hub, open, state } = await aHub(t, { at_all: 3, per_user: 2 })
  const [one, other] = [newId(), newId()]
  const streams = [await open(one), await open(one), await open(other)]
  await t.rejects(open(one), /streams open/)
  await t.rejects(open(other), /in use/)
  t.equal(hub.size, 3)
  streams[0]?.destroy()
  streams[1]?.destroy(new Error('reset'))
  streams[1]?.on('error', () => {})
  streams[2]?.finish()
  streams[2]?.resume()
  await Promise.all(streams.map(stream => stream.closed || once(stream, 'close')))
  t.equal(hub.size, 0)
  const again = await open(one)
  state.isEnding = true
  again.resume()
  await once(again, 'close')
  t.equal(hub.size, 0)
  await t.rejects(open(one), /shutting down/)
  state.isEnding = false
  const last = await open(one)
  last.resume()
  await hub.end()
  if (!last.closed) await once(last, 'close')
  t.equal(hub.size, 0)
  await t.rejects(open(one), /shutting down/)
})

test('for who went away while waiting for a turn to catch up, nothing is read', async t => {
  const { db } = await testDatabase()
  let reads = 0
  const counting = new Proxy(db, {
    get(target, name, receiver) {
      if (name === 'select') reads++
      return Reflect.get(target, name, receiver)
    },
  })
  const { open } = await aHub(t, { db: counting, timings: { read_ms: 60_000 } })
  const user_id = newId()
  const place = { last_event_id: `after-0-${firstIdAt(new Date(0))}` }
  await note(db, user_id, 1)
  const gone = await Promise.all(Array.from({ length: 50 }, () => open(user_id, place)))
  const last = reading(await open(user_id, place))
  for (const stream of gone) stream.destroy()
  await last.heard(1)
  t.ok(reads < gone.length, `${reads} reads`)
})

test('without a client, nothing is read', async t => {
  const { db } = await testDatabase()
  let reads = 0
  const counting = new Proxy(db, {
    get(target, name, receiver) {
      if (name === '_') reads++
      return Reflect.get(target, name, receiver)
    },
  })
  const { hub, open } = await aHub(t, { db: counting })
  t.equal(reads, 0)
  const stream = await open(newId())
  stream.destroy()
  await once(stream, 'close')
  await hub.end()
  const then = reads
  t.ok(then > 0)
  const next = await aHub(t)
  const user_id = newId()
  const { heard } = reading(await next.open(user_id))
  await note(db, user_id, 1)
  await heard(1)
  t.equal(reads, then, 'while another hub read for a while')
})
