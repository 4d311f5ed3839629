import { Readable } from 'node:stream'
import type { Db } from '../../db/types.ts'
import { listEvents } from './queries.ts'
import type { EventFilter } from './schemas.ts'

const BATCH = 1000

/**
 * The events as lines of JSON, newest first: read as fast as they are taken, and never more than a batch ahead.
 * The first batch is read before this resolves, so that a failure is still an answer of its own.
 */
export async function exportEvents(db: Db, filter: EventFilter): Promise<Readable> {
  const first = await listEvents(db, filter, { limit: BATCH })
  return Readable.from(lines(), { objectMode: false })

  async function* lines(): AsyncGenerator<string> {
    for (let batch = first; batch.length > 0; ) {
      yield batch.map(event => `${JSON.stringify(event)}\n`).join('')
      if (batch.length < BATCH) return
      batch = await listEvents(db, filter, { before: batch.at(-1)?.id, limit: BATCH })
    }
  }
}
