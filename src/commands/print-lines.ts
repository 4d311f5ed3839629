import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** To standard output, as fast as they are taken. Who reads may have enough, as `head` has: that is no fault. */
export async function printLines(lines: Readable): Promise<void> {
  // By its code, it could also be the connection to the database that broke.
  let closed: unknown
  const note = (error: unknown) => {
    closed = error
  }
  process.stdout.once('error', note)
  try {
    await pipeline(lines, process.stdout, { end: false })
  } catch (error) {
    if (error !== closed || (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
  } finally {
    process.stdout.off('error', note)
  }
}
