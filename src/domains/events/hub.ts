import type { Logger } from 'pino'
import type { Db } from '../../db/types.ts'
import { type EventKey, precedes, readHorizon, readKeys } from '../../events/read.ts'
import { Unavailable } from '../../lib/problems.ts'
import { type Repeating, repeat } from '../../lib/repeat.ts'
import { createTurns } from '../../lib/turns.ts'
import { EventStream, type Subscription } from './event-stream.ts'
import { type Frames, readFrames, runsOf } from './frames.ts'
import { createLiveStreams } from './live-streams.ts'
import { noProgress, startReader } from './reader.ts'
import { resumedFrom } from './resuming.ts'
import { createSeats } from './seats.ts'

export interface Timings {
  /** How often new events are looked for. */
  read_ms: number
  /** How often it is asked whether each client is still let in. */
  ask_ms: number
  /** For how long the answer is good: without another one, a client gets nothing. */
  sure_ms: number
  /** How often a client hears something, whether or not there is an event. */
  heartbeat_ms: number
  /** For how long a client may take nothing of what waits for it. */
  stall_ms: number
  /** How often it is looked whether any of these times is up. */
  look_ms: number
}

export const TIMINGS: Timings = {
  read_ms: 200,
  ask_ms: 500,
  sure_ms: 1_000,
  heartbeat_ms: 15_000,
  stall_ms: 30_000,
  look_ms: 100,
}

interface HubOptions {
  db: Db
  logger: Logger
  /** Streams of one user. */
  per_user: number
  at_all?: number
  /** Whether the process is about to end, so that nobody should stay. */
  isEnding(): boolean
  timings?: Partial<Timings>
}

interface Opening extends Subscription {
  /** On whose account. */
  user_id: string
  last_event_id?: string | undefined
}

/** For how long a process that ends waits for a client to take what waits for it: others come back elsewhere anyway. */
const FAREWELL_MS = 1_000

const KEYS_AT_ONCE = 100

/** The rest of the connections to the database is for requests, when a thousand clients come back at once. */
const CATCH_UPS_AT_ONCE = 3
const QUESTIONS_AT_ONCE = 5

type Task = Pick<Repeating, 'end'>

/**
 * All live streams of a process. One reader hands new events to the clients that are up to date; who comes with a place in
 * the past, or was too slow, reads from the database at its own pace until it is.
 */
export function createHub({ db, logger, per_user, at_all, isEnding, timings }: HubOptions) {
  const times = { ...TIMINGS, ...timings }
  const seats = createSeats(per_user, at_all)
  const streams = new Set<EventStream>()
  const live = createLiveStreams()
  const progress = noProgress()
  const catchUps = createTurns(CATCH_UPS_AT_ONCE)
  let running: Promise<Task[]> | undefined
  let stopping = Promise.resolve()
  let ended = false
  let failing = false

  return {
    /** What to send to a client. The caller sees to it that it is destroyed when the client has gone. */
    async open({ user_id, last_event_id, ...subscription }: Opening): Promise<EventStream> {
      demandOpen()
      const giveBack = seats.take(user_id)
      try {
        await run()
        const position = last_event_id ? await resumedFrom(db, last_event_id) : progress.reached
        demandOpen()
        return join(new EventStream(subscription, position, times), giveBack)
      } catch (error) {
        leave(giveBack)
        throw error
      }
    },
    /** How many seats are taken. */
    get size() {
      return seats.total
    },
    /** Ends all streams, and resolves when nothing is read any more. */
    async end() {
      ended = true
      for (const stream of streams) {
        if (stream.hasRoom) stream.finish()
        else stream.destroy()
      }
      stop()
      await stopping
    },
  }

  function demandOpen() {
    if (ended || isEnding()) throw new Unavailable('The service is shutting down.')
  }

  /** The reader, and what looks after the clients, run while there is a client. */
  function run(): Promise<unknown> {
    running ??= start().catch(error => {
      running = undefined
      throw error
    })
    return running
  }

  async function start(): Promise<Task[]> {
    await stopping
    const reader = await startReader({
      db,
      logger,
      every_ms: times.read_ms,
      progress,
      isWanted: key => live.viewersOf(key).length > 0,
      handOut,
    })
    const asking = 'asking whether the clients of live streams are still let in'
    const looking = 'looking after live streams'
    return [
      reader,
      repeat(ask, { every_ms: times.ask_ms, logger, failure: asking }),
      repeat(look, { every_ms: times.look_ms, logger, failure: looking }),
    ]
  }

  function stop() {
    const last = running
    running = undefined
    const over = last?.then(tasks => Promise.all(tasks.map(task => task.end()))).catch(() => {})
    // Without a result, which would hold that of every stop before it.
    stopping = Promise.all([stopping, over]).then(() => {})
  }

  function join(stream: EventStream, giveBack: () => void): EventStream {
    streams.add(stream)
    stream.once('close', () => {
      streams.delete(stream)
      live.delete(stream)
      leave(giveBack)
    })
    void follow(stream)
    return stream
  }

  function leave(giveBack: () => void) {
    giveBack()
    if (seats.total === 0) stop()
  }

  /** Until it is up to date, and then gets what the reader reads. */
  async function follow(stream: EventStream) {
    while (!stream.over) {
      if (!stream.isReady) await stream.changed()
      else if (!precedes(stream.position, progress.position)) return live.add(stream)
      else await catchUps.run(() => catchUp(stream)).catch(error => waitAfter(error, stream))
    }
  }

  /** As far as there is room, but not too far: others wait for their turn. */
  async function catchUp(stream: EventStream) {
    // Its turn may come when its client has long gone.
    if (!stream.isReady) return
    const horizon = await readHorizon(db)
    const { owner_id } = stream.subscription
    const range = { below: horizon.transaction_id, owner_id, limit: KEYS_AT_ONCE }
    const keys = await readKeys(db, { ...range, after: stream.position })
    for (const run of runsOf(keys)) {
      const wanted = run.filter(key => stream.wants(key))
      const found = await readFrames(db, wanted)
      for (const key of run) {
        if (!stream.isReady) return
        const frames = found.get(key.id)
        if (frames === undefined) stream.advance(key)
        else stream.deliver(key, frames)
      }
    }
    if (keys.length < KEYS_AT_ONCE) stream.advance(horizon)
    failing = false
  }

  /** The next success in asking whether it is let in also says that the database is back. */
  function waitAfter(err: unknown, stream: EventStream) {
    // Of one that is over nobody was told, so the next one is still to be.
    if (!failing && !stream.over) {
      logger.warn({ err }, 'live streams cannot catch up; it is tried again and again')
      failing = true
    }
    return stream.changed()
  }

  function handOut(key: EventKey, frames: Frames) {
    for (const stream of live.viewersOf(key)) {
      if (stream.isReady) stream.deliver(key, frames)
      else {
        live.delete(stream)
        stream.advance(progress.reached)
        void follow(stream)
      }
    }
  }

  /** What takes no time, and so is done in time even when the database does not answer. */
  async function look() {
    const now = performance.now()
    const isOver = isEnding()
    const stall_ms = isOver ? FAREWELL_MS : times.stall_ms
    for (const stream of streams) {
      if (isOver) stream.finish()
      if (stream.isStalled(stall_ms)) stream.destroy()
      else if (stream.beatAt <= now && stream.hasRoom) {
        if (live.has(stream)) stream.advance(progress.reached)
        stream.beat()
        stream.beatAt = now + times.heartbeat_ms
      }
    }
  }

  async function ask() {
    const waiting = [...streams]
    const outcomes = await Promise.allSettled(Array.from({ length: QUESTIONS_AT_ONCE }, askSome))
    const failed = outcomes.find(outcome => outcome.status === 'rejected')
    if (failed) throw failed.reason

    async function askSome() {
      for (let stream = waiting.pop(); stream !== undefined; stream = waiting.pop()) await askOf(stream)
    }
  }

  async function askOf(stream: EventStream) {
    const asked = performance.now()
    if (!(await stream.subscription.isAdmitted())) return stream.finish()
    stream.sureUntil = asked + times.sure_ms
    stream.change()
  }
}
