import { Readable } from 'node:stream'
import type { Db } from '../../db/types.ts'
import { inBatches } from '../../lib/batches.ts'
import type { SortKey } from '../../lib/paging.ts'
import { listOwnEvents } from '../audit/public.ts'
import { selectItems } from '../items/public.ts'
import { selectPosts } from '../posts/public.ts'
import { readDeliveriesOf, readWebhooksOf } from '../webhooks/public.ts'
import { selectApiKeys, selectDevices, selectLinks, selectProfile, selectSessions } from './queries.ts'

type Row = Record<string, unknown>
type Batches = AsyncIterable<Row[]>

const BATCH = 1000

/** Of what may have a hundred thousand characters each. */
const SMALL_BATCH = 100

/** Everything that is held about a user, part by part. A domain that keeps more adds a line. */
const parts: [type: string, read: (db: Db, user_id: string) => Batches][] = [
  ['user', inOne(selectProfile)],
  ['session', byId(selectSessions)],
  ['api_key', inOne(selectApiKeys)],
  ['device', inOne(selectDevices)],
  ['link', inOne(selectLinks)],
  ['item', byId(selectItems, SMALL_BATCH)],
  ['post', inSmallBatches(selectPosts)],
  ['webhook', (db, user_id) => readWebhooksOf(db, user_id, SMALL_BATCH)],
  ['webhook_delivery', (db, user_id) => readDeliveriesOf(db, user_id, SMALL_BATCH)],
  ['event', byId((db, user_id, before, limit) => listOwnEvents(db, user_id, { before, limit }))],
]

/** For what is little enough to be read at once. */
function inOne(read: (db: Db, user_id: string) => PromiseLike<Row[]>) {
  return async function* (db: Db, user_id: string): Batches {
    yield await read(db, user_id)
  }
}

/** For what may be any number. */
function byId(
  read: (db: Db, user_id: string, before: string | undefined, limit: number) => PromiseLike<{ id: string }[]>,
  size = BATCH,
) {
  return (db: Db, user_id: string): Batches => inBatches(before => read(db, user_id, before, size), size)
}

/** The same for large rows, in the order of the index that is there for lists: a moment, then the id. */
function inSmallBatches(
  read: (
    db: Db,
    user_id: string,
    after: SortKey | undefined,
    limit: number,
  ) => PromiseLike<{ id: string; created_at: Date }[]>,
) {
  return async function* (db: Db, user_id: string): Batches {
    let after: SortKey | undefined
    for (;;) {
      const batch = await read(db, user_id, after, SMALL_BATCH)
      yield batch
      const last = batch.at(-1)
      if (last === undefined || batch.length < SMALL_BATCH) return
      after = { id: last.id, value: last.created_at.toISOString() }
    }
  }
}

/**
 * All of it as lines of JSON, read as fast as it is taken, and never more than a batch ahead.
 * The first part is read before this resolves, so that a failure is still an answer of its own.
 */
export async function exportUser(db: Db, user_id: string): Promise<Readable> {
  const lines = linesOf(db, user_id)
  const first = await lines.next()
  return Readable.from(all(), { objectMode: false })

  async function* all(): AsyncGenerator<string> {
    if (!first.done) yield first.value
    yield* lines
  }
}

async function* linesOf(db: Db, user_id: string): AsyncGenerator<string, void> {
  for (const [type, read] of parts) {
    for await (const batch of read(db, user_id)) {
      if (batch.length > 0) yield batch.map(data => `${JSON.stringify({ type, data })}\n`).join('')
    }
  }
}
