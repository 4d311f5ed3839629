import { Readable } from 'node:stream'
import type { Db } from '../../db/types.ts'
import { csvRow } from '../../lib/csv.ts'
import type { SortKey } from '../../lib/paging.ts'
import { type ItemSlice, type OwnItemFilter, selectWhole } from './queries.ts'
import { Item } from './schemas.ts'

/** Of rows that may be 40 kB each. */
const BATCH = 500

export type Format = 'ndjson' | 'csv'

const NAMES = Object.keys(Item.properties) as (keyof Item)[]

const formats: Record<Format, { head: string; line(item: Item): string }> = {
  ndjson: { head: '', line: item => `${JSON.stringify(item)}\n` },
  csv: { head: csvRow(NAMES), line: item => csvRow(NAMES.map(name => cellOf(item[name]))) },
}

function cellOf(value: Item[keyof Item]): string | number | null {
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value
}

/**
 * The items as lines, read as fast as they are taken, and never more than a batch ahead; no transaction waits for whoever
 * reads slowly. The first batch is read before this resolves, so that a failure is still an answer of its own.
 */
export async function exportItems(
  db: Db,
  filter: OwnItemFilter,
  order: Pick<ItemSlice, 'sort_by' | 'sort_dir'>,
  format: Format,
): Promise<Readable> {
  const { head, line } = formats[format]
  const read = (after: SortKey | undefined) =>
    selectWhole(db, filter, { ...order, after, offset: 0, limit: BATCH })
  const first = await read(undefined)
  return Readable.from(lines(), { objectMode: false })

  async function* lines(): AsyncGenerator<string> {
    if (head) yield head
    for (let batch = first; ; ) {
      if (batch.length > 0) yield batch.map(line).join('')
      const last = batch.at(-1)
      if (last === undefined || batch.length < BATCH) return
      const value = last[order.sort_by]
      batch = await read({ id: last.id, value: value instanceof Date ? value.toISOString() : value })
    }
  }
}
