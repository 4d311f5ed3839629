import { Readable } from 'node:stream'
import { type EventKey, type Position, precedes } from '../../events/read.ts'
import { isAmong } from '../../events/type-patterns.ts'
import { type Frames, heartbeat, opening } from './frames.ts'

export interface Subscription {
  /** Whose events; null for everybody's. */
  owner_id: string | null
  /** Of which types; none for all. */
  types: readonly string[]
  /** Asks whether the client is still let in; a failure means that nobody knows at the moment. */
  isAdmitted(): Promise<boolean>
}

export interface StreamTimes {
  sure_ms: number
  heartbeat_ms: number
}

/** What waits in memory for a client, besides the event that it is just being sent. */
const BUFFER_BYTES = 64 * 1024

/** So that it can be seen whether a client takes a large event, however slowly. */
const SLICE_BYTES = 16 * 1024

/** What one client is sent. It holds a place in the order of events, and never more than a little text. */
export class EventStream extends Readable {
  readonly subscription: Subscription
  /** All that it wants up to here has been written. */
  position: Position
  /** Until when it is known that the client is let in. */
  sureUntil: number
  beatAt: number
  /** Nothing more will be written. */
  over = false
  /** Since when more waits than should, or since when none of it was taken. */
  private fullSince: number | undefined
  private waiting = 0
  private wake = () => {}

  constructor(subscription: Subscription, position: Position, { sure_ms, heartbeat_ms }: StreamTimes) {
    super({ highWaterMark: BUFFER_BYTES })
    this.subscription = subscription
    this.position = position
    // It was let in a moment ago.
    this.sureUntil = performance.now() + sure_ms
    this.beatAt = performance.now() + heartbeat_ms
    this.write(opening(position))
  }

  /** Whether it may be sent an event. */
  get isReady(): boolean {
    return this.hasRoom && performance.now() < this.sureUntil
  }

  get hasRoom(): boolean {
    return !this.over && this.fullSince === undefined
  }

  /** Asked now and then: what has become less was taken. */
  isStalled(stall_ms: number): boolean {
    if (this.fullSince !== undefined && this.readableLength < this.waiting) this.fullSince = performance.now()
    this.waiting = this.readableLength
    return this.fullSince !== undefined && performance.now() - this.fullSince > stall_ms
  }

  wants(key: EventKey): boolean {
    const { owner_id, types } = this.subscription
    const isTheirs = owner_id === null || owner_id === key.owner_id
    return isTheirs && precedes(this.position, key) && isAmong(key.type, types)
  }

  deliver({ transaction_id, id }: EventKey, frames: Frames) {
    this.position = { transaction_id, id }
    this.write(this.subscription.owner_id === null ? frames.whole() : frames.own())
  }

  /** There is nothing for it before this place. */
  advance({ transaction_id, id }: Position) {
    if (precedes(this.position, { transaction_id, id })) this.position = { transaction_id, id }
  }

  beat() {
    this.write(heartbeat(this.position))
  }

  private write(text: string | Buffer) {
    // An event's bytes are those of all its clients, and are not copied for each.
    const bytes = typeof text === 'string' ? Buffer.from(text) : text
    for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
      if (!this.push(bytes.subarray(at, at + SLICE_BYTES))) this.fullSince ??= performance.now()
    }
  }

  /** Resolves when something may have become possible: there is room, it was let in again, or it is over. */
  changed(): Promise<void> {
    return new Promise(resolve => {
      this.wake = resolve
    })
  }

  change() {
    this.wake()
  }

  /** Ends the answer; what was written before is still sent, if the client takes it in time. */
  finish() {
    if (this.over) return
    this.over = true
    this.push(null)
    this.fullSince ??= performance.now()
    this.wake()
  }

  override _read() {
    this.fullSince = undefined
    this.wake()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void) {
    this.over = true
    this.wake()
    done(error)
  }
}
