import { randomFillSync } from 'node:crypto'

const POOL_SIZE = 1024
const ID_BYTES = 16

const pool = Buffer.alloc(POOL_SIZE * ID_BYTES)
let used = pool.length
let lastTime = 0
let sequence = 0

/**
 * A UUIDv7 (RFC 9562): the time in milliseconds, then a 12-bit counter, then 62 random bits, so the ids that one process
 * makes sort in the order in which they were made, and inserts go to the right-hand edge of an index.
 */
export function newId(): string {
  // Random bytes are drawn many ids at a time: a system call per id would cost more than the rest together.
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = pool.subarray(used, used + ID_BYTES)
  used += ID_BYTES

  const now = Date.now()
  if (now > lastTime) {
    lastTime = now
    sequence = bytes.readUInt16BE(6) & 0x7ff
  } else if (++sequence > 0xfff) {
    // The counter is full, or the clock was set back: run ahead of it by a millisecond.
    lastTime++
    sequence = 0
  }
  bytes.writeUIntBE(lastTime, 0, 6)
  bytes.writeUInt16BE(0x7000 | sequence, 6)
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f)
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The instant that a UUIDv7 carries. */
export const timeOfId = (id: string): Date => new Date(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16))

/** The least UUIDv7 of an instant: ids from then on are equal or greater. */
export function firstIdAt(time: Date): string {
  const hex = Math.max(time.getTime(), 0).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}
