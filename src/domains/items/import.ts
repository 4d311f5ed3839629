import { executePrepared } from '../../db/raw.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Db, Tx } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import type { Actor } from '../../lib/actor.ts'
import { newId } from '../../lib/id.ts'
import type { Problem } from '../../lib/problem.ts'
import { itemsImported } from './events.ts'
import type { ImportLine } from './import-lines.ts'
import type { ItemImport } from './import-schemas.ts'
import type { NewItem } from './schemas.ts'

interface Import {
  actor: Actor
  user_id: string
  dry_run: boolean
  check(fields: unknown): Problem | undefined
}

/** Rows in a statement: of more, one statement takes longer but a row does not take less. */
const ROWS_AT_ONCE = 1000

const MOST_ERRORS = 100

/**
 * What can be imported is imported, in one transaction: all of it is there, or, if the process or the database goes away,
 * nothing. A transaction that is run again reads the file again.
 */
export async function importItems(
  db: Db,
  settings: Import,
  read: () => AsyncIterable<ImportLine[]>,
): Promise<ItemImport> {
  const { actor, user_id, dry_run } = settings
  if (dry_run) return sift(read(), settings, async () => {})
  return inTransaction(db, async tx => {
    const writer = createWriter(tx, user_id)
    const result = await sift(read(), settings, writer.write)
    await writer.finish()
    const { imported, failed } = result
    const facts = { subject_id: null, owner_id: user_id, after: { imported, failed } }
    if (imported > 0) await record(tx, actor, itemsImported, facts)
    return result
  })
}

/** Hands on what is valid and notes what is not. */
async function sift(
  lines: AsyncIterable<ImportLine[]>,
  { check }: Import,
  write: (items: NewItem[]) => Promise<void>,
): Promise<ItemImport> {
  const result: ItemImport = { imported: 0, failed: 0, errors: [] }
  for await (const batch of lines) {
    const valid: NewItem[] = []
    for (const { line, fields, fault = faultOf(check(fields)) } of batch) {
      if (fault === undefined) valid.push(fields as NewItem)
      else {
        result.failed++
        if (result.errors.length < MOST_ERRORS) result.errors.push({ line, ...fault })
      }
    }
    result.imported += valid.length
    await write(valid)
  }
  return result
}

function faultOf(problem: Problem | undefined) {
  if (problem === undefined) return undefined
  const { definition, errors = [], message } = problem
  const faults = errors.map(fault => `${fault.pointer.slice(1)} ${fault.message}`.trim())
  return { code: definition.code, message: faults.join('; ') || message }
}

/** The database works on one statement while the next is being put together. */
function createWriter(tx: Tx, user_id: string) {
  let waiting: NewItem[] = []
  let underway: Promise<unknown> = Promise.resolve()
  let begun = false

  return {
    async write(items: NewItem[]) {
      waiting.push(...items)
      while (waiting.length > ROWS_AT_ONCE) {
        if (!begun) await prepareForMany(tx)
        begun = true
        await send(waiting.slice(0, ROWS_AT_ONCE))
        waiting = waiting.slice(ROWS_AT_ONCE)
      }
    },
    async finish() {
      await underway
      if (begun) await settle(tx)
      await insert(tx, user_id, waiting)
    },
  }

  async function send(items: NewItem[]) {
    await underway
    underway = insert(tx, user_id, items)
    // It is awaited in its turn; until then, a failure must not count as one that nobody looks at.
    underway.catch(() => {})
  }
}

/**
 * Of new rows, the index of contents first notes the words, and sorts them in when the notes grow too long. Many at a time
 * are sorted in faster: 62 µs a row instead of 100.
 */
const prepareForMany = (tx: Tx) => executePrepared(tx, SETTINGS, ['64MB', '64MB'])

/** Searches read what is not sorted in yet, so the last rows have all of it sorted in. */
const settle = (tx: Tx) => executePrepared(tx, SETTINGS, ['64kB', '64MB'])

const SETTINGS = `
  select set_config('gin_pending_list_limit', $1, true), set_config('work_mem', $2, true)`

async function insert(tx: Tx, user_id: string, items: NewItem[]): Promise<void> {
  if (items.length === 0) return
  const rows = items.map(item => ({ ...item, id: newId() }))
  await executePrepared(tx, INSERT, [user_id, JSON.stringify(rows)])
}

const INSERT = `
  insert into items (id, user_id, title, description, status, price, metadata)
  select id, $1::uuid, title, description, coalesce(status, 'draft'), coalesce(price, 0), coalesce(metadata, '{}')
  from json_to_recordset($2::json) as rows (
    id uuid, title text, description text, status text, price numeric, metadata jsonb
  )`
