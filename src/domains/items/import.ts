import { setImmediate as nextTurn } from 'node:timers/promises'
import { executePrepared } from '../../db/raw.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Db, Tx } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import type { Actor } from '../../lib/actor.ts'
import { newId } from '../../lib/id.ts'
import { ref } from '../../lib/schema.ts'
import { type Check, checkOf } from '../../plugins/validation.ts'
import { itemsImported } from './events.ts'
import type { ImportLine } from './import-lines.ts'
import type { ItemImport } from './import-schemas.ts'
import { NewItem } from './schemas.ts'

interface Import {
  actor: Actor
  user_id: string
  dry_run: boolean
  check: Check
}

/** What a line has to be, for an import that is no request. */
export const checkOfLines = () => checkOf(ref(NewItem))

/** In a statement: of more, one statement takes longer but a row does not take less. */
const ROWS_AT_ONCE = 1000
/** A second's work where the text is hostile to the index of contents. */
const CHARACTERS_AT_ONCE = 128 * 1024

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
  if (dry_run) return sift(read(), settings, () => undefined)
  return inTransaction(db, async tx => {
    await executePrepared(tx, SETTINGS, [])
    const writer = createWriter(tx, user_id)
    const result = await sift(read(), settings, writer.write)
    await writer.finish()
    const { imported, failed } = result
    const facts = { subject_id: null, owner_id: user_id, after: { imported, failed } }
    if (imported > 0) await record(tx, actor, itemsImported, facts)
    return result
  })
}

/** As long as others may have to wait while lines are looked at. */
const TURN_MS = 10

/** Hands on what is valid and notes what is not. */
async function sift(
  lines: AsyncIterable<ImportLine[]>,
  { check }: Import,
  write: (item: NewItem) => Promise<void> | undefined,
): Promise<ItemImport> {
  const result: ItemImport = { imported: 0, failed: 0, errors: [] }
  let turn = performance.now()
  for await (const batch of lines) {
    for (const { line, fields, fault } of batch) {
      if (fault === undefined && check.isValid(fields)) {
        result.imported++
        await write(fields as NewItem)
      } else {
        result.failed++
        if (result.errors.length < MOST_ERRORS)
          result.errors.push({ line, ...(fault ?? faultOf(check, fields)) })
      }
      if (performance.now() - turn < TURN_MS) continue
      await nextTurn()
      turn = performance.now()
    }
  }
  return result
}

/** Of a line that is wrong in every way, so many ways are told. */
const MOST_FAULTS = 5

function faultOf(check: Check, fields: unknown) {
  const faults = check.faultsIn(fields).slice(0, MOST_FAULTS)
  const messages = faults.map(({ pointer, message }) => `${pointer.slice(1)} ${message}`.trim())
  return { code: 'validation_failed', message: messages.join('; ') }
}

/** The database works on one statement while the next is being put together. */
function createWriter(tx: Tx, user_id: string) {
  let rows: string[] = []
  let characters = 0
  let underway: Promise<unknown> = Promise.resolve()

  return {
    write(item: NewItem): Promise<void> | undefined {
      const row = JSON.stringify({ ...item, id: newId() })
      rows.push(row)
      characters += row.length
      return rows.length < ROWS_AT_ONCE && characters < CHARACTERS_AT_ONCE ? undefined : send()
    },
    async finish() {
      await send()
      await underway
    },
  }

  async function send() {
    await underway
    if (rows.length === 0) return
    underway = executePrepared(tx, INSERT, [user_id, `[${rows}]`])
    // It is awaited in its turn; until then, a failure must not count as one that nobody looks at.
    underway.catch(() => {})
    rows = []
    characters = 0
  }
}

/** Its owner's other writes must not wait for it; and between two statements there may be any number of faulty lines. */
const SETTINGS = `
  select set_config('plinth.takes_long', 'yes', true), set_config('idle_in_transaction_session_timeout', '0', true)`

const INSERT = `
  insert into items (id, user_id, title, description, status, price, metadata)
  select id, $1::uuid, title, description, coalesce(status, 'draft'), coalesce(price, 0), coalesce(metadata, '{}')
  from json_to_recordset($2::json) as rows (
    id uuid, title text, description text, status text, price numeric, metadata jsonb
  )`
