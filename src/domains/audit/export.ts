import type { Db } from '../../db/types.ts'
import { listEvents } from './queries.ts'
import type { EventFilter } from './schemas.ts'

const BATCH = 1000

/** The events as lines of JSON, newest first: read as fast as they are taken, and never more than a batch ahead. */
export async function* exportEvents(db: Db, filter: EventFilter): AsyncGenerator<string> {
  let before: string | undefined
  for (;;) {
    const batch = await listEvents(db, filter, { before, limit: BATCH })
    if (batch.length > 0) yield batch.map(event => `${JSON.stringify(event)}\n`).join('')
    before = batch.at(-1)?.id
    if (batch.length < BATCH) return
  }
}
