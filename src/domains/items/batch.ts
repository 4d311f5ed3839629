import { executePrepared } from '../../db/raw.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Db, Tx } from '../../db/types.ts'
import type { Target } from '../../events/recorded-change.ts'
import type { Actor } from '../../lib/actor.ts'
import { etagOf, NO_PRECONDITION } from '../../lib/precondition.ts'
import { isProblem, type Problem, type ProblemFault } from '../../lib/problem.ts'
import { faultyFields, fieldFault, PreconditionRequired } from '../../lib/problems.ts'
import type { BatchOperation, BatchResult, ItemBatch, ItemBatchResults } from './batch-schemas.ts'
import { BatchFailed } from './problems.ts'
import type { ItemChanges, NewItem } from './schemas.ts'
import { createItem, deleteItem, updateItem } from './service.ts'

/** Who does it, and by which rules. */
interface Batch {
  actor: Actor
  user_id: string
  /** Whose items may be changed; null for anybody's. */
  owner_id: string | null
  versionsRequired: boolean
  /** What is wrong with an item to be, or with changes. */
  newFaults(data: unknown): ProblemFault[]
  changeFaults(data: unknown): ProblemFault[]
}

/** Failures that an answer lists; whoever sent a thousand wrong operations has seen enough by then. */
const MOST_FAILURES = 50

/** All in one transaction, one statement for each operation, sent without waiting for the one before. */
export function runBatch(
  db: Db,
  batch: Batch,
  { operations, atomic = true }: ItemBatch,
): Promise<ItemBatchResults> {
  return inTransaction(db, async tx => {
    const [, ...results] = await Promise.all([
      lockItems(tx, batch, operations),
      ...operations.map((operation, index) => attempt(tx, batch, operation, index)),
    ])
    const failures = results.filter(({ error }) => error !== undefined)
    if (atomic && failures.length > 0) throw batchFailed(failures)
    return { results, succeeded: results.length - failures.length, failed: failures.length }
  })
}

/**
 * In one order, whatever the operations' is, and before anything is counted: or of batches that want the same items, each
 * would wait for what another has (six such took 9 s, and some failed).
 */
const lockItems = (tx: Tx, { owner_id }: Batch, operations: BatchOperation[]) =>
  executePrepared(tx, LOCK, [`{${operations.flatMap(({ id }) => id ?? [])}}`, owner_id])

const LOCK = `
  select from items where id = any($1::uuid[]) and ($2::uuid is null or user_id = $2::uuid)
  order by id for no key update`

async function attempt(tx: Tx, batch: Batch, operation: BatchOperation, index: number): Promise<BatchResult> {
  try {
    return { index, ...(await perform(tx, batch, operation)) }
  } catch (error) {
    // A statement that failed ends the transaction, so the rest must not go on as if nothing had happened.
    if (!isProblem(error) || error.statusCode >= 500) throw error
    const { statusCode, definition, message, errors } = error
    const told = { code: definition.code, detail: message, ...(errors && { errors }) }
    return { index, status: statusCode, error: told }
  }
}

async function perform(tx: Tx, batch: Batch, operation: BatchOperation): Promise<Omit<BatchResult, 'index'>> {
  const { actor, user_id } = batch
  const fault = faultOf(batch, operation)
  if (fault !== undefined) throw fault
  const { op, data } = operation
  if (op === 'create') return { status: 201, item: await createItem(tx, actor, user_id, data as NewItem) }
  const target = targetOf(batch, operation)
  if (op === 'update') return { status: 200, item: await updateItem(tx, actor, target, data as ItemChanges) }
  await deleteItem(tx, actor, target)
  return { status: 204 }
}

function faultOf(batch: Batch, operation: BatchOperation): Problem | undefined {
  const { op, id, version, data } = operation
  const { needed, foreign } = FIELDS[op]
  const missing = needed.find(field => operation[field] === undefined)
  if (missing !== undefined) return fault(missing, 'required', `is needed to ${op}`)
  const surplus = foreign.find(field => operation[field] !== undefined)
  if (surplus !== undefined) return fault(surplus, 'additionalProperties', `is not for ${op}`)
  if (op === 'create') return invalidData(batch.newFaults(data))
  if (batch.versionsRequired && id !== undefined && version === undefined) {
    return new PreconditionRequired('Say in `version` which one you want to change.')
  }
  return op === 'update' ? invalidData(batch.changeFaults(data)) : undefined
}

const invalidData = (faults: ProblemFault[]) => (faults.length > 0 ? faultyFields(faults) : undefined)

type Field = 'id' | 'version' | 'data'

const FIELDS: Record<BatchOperation['op'], { needed: Field[]; foreign: Field[] }> = {
  create: { needed: ['data'], foreign: ['id', 'version'] },
  update: { needed: ['id', 'data'], foreign: [] },
  delete: { needed: ['id'], foreign: ['data'] },
}

const fault = (field: Field, code: string, message: string) =>
  fieldFault({ in: 'body', pointer: `/${field}`, code, message })

function targetOf({ owner_id }: Batch, { id = '', version }: BatchOperation): Target {
  const precondition =
    version === undefined
      ? NO_PRECONDITION
      : { ...NO_PRECONDITION, match: [etagOf({ id: id.toLowerCase(), version })] }
  return { id, owner_id, precondition }
}

function batchFailed(failures: BatchResult[]): Problem {
  const [first] = failures
  const count = failures.length === 1 ? 'One operation' : `${failures.length} operations`
  return new BatchFailed(
    `${count} failed, first the one at index ${first?.index}: ${first?.error?.detail} Nothing was done.`,
    { results: failures.slice(0, MOST_FAILURES) },
  )
}
