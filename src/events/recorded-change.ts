import { isConnectionFailure } from '../db/errors.ts'
import type { Row } from '../db/raw.ts'
import { writeInOneStatement } from '../db/transaction.ts'
import type { Db } from '../db/types.ts'
import type { Actor } from '../lib/actor.ts'
import { type Precondition, preconditionFailed, versionsFor } from '../lib/precondition.ts'
import { tellCommitted } from './committed.ts'
import type { EventType } from './event-type.ts'
import { AT_TYPE, EVENT_VALUES, eventValues, insertEvent, stateOf } from './record.ts'

// A change of one row, the check of its version, and its event, in one statement: a transaction of its own, and one round
// trip. `locked` is the row as it is when it is this writer's turn, which the statement's own view of it may lag behind;
// `before` what is told of it; `after` what it is now, if anything about it changed.

interface Recorded {
  table: string
  /** What is answered, and recorded, of `subject`, as which the statement knows the row. */
  columns: string
  /** The column that says whose it is. */
  owner: string
  type: EventType
}

interface RecordedInsert extends Recorded {
  /** The values, each of which has the next parameter for itself, from the first on; then come `eventValues`. */
  values: Record<string, string>
}

/** A new row and its event, likewise. */
export function recordedInsert({ table, columns, owner, values, type }: RecordedInsert): string {
  const names = Object.keys(values)
  return `
  with after as (
    insert into ${table} as subject (${names.join(', ')}) values (${Object.values(values).join(', ')})
    returning ${columns}
  ), event as (${insertEvent(names.length + 1, {
    owner_id: owner,
    subject_id: 'id',
    changes: `changes_between(null, ${stateOf('after', type)})`,
    from: 'after',
    announced: type.announced,
  })}
  )
  select *, ${owner} as recorded_owner from after`
}

/** Runs such a statement with its own parameters, and answers with the row. */
export async function insertRecorded(db: Db, text: string, own: unknown[], actor: Actor, type: EventType) {
  const [row] = await writeAndTell(db, text, [...own, ...eventValues(actor, type)], type)
  if (row === undefined) throw new Error('An insert returns its row.')
  return row
}

/** The row without the owner of the event; there was one if that is not null. */
async function writeAndTell(db: Db, text: string, values: unknown[], { name }: EventType): Promise<Row[]> {
  const rows = await writeInOneStatement(db, text, values).catch(error => {
    // The answer was lost, and whose row it was with it; the change itself may have been made.
    if (isConnectionFailure(error)) tellCommitted(db, { type: name, owner_id: null })
    throw error
  })
  return rows.map(({ recorded_owner, ...row }) => {
    if (recorded_owner !== null) tellCommitted(db, { type: name, owner_id: String(recorded_owner) })
    return row
  })
}

interface RecordedChange extends Recorded {
  /** Which rows there are to be changed, as a condition on `subject`. */
  among: string
  /** The new values, which may refer to `subject` and to parameters from FIRST_OWN on. */
  values: Record<string, string>
  /** Where the change itself tells what kind it is: SQL on `before` and `after`, and for all else the type's name. */
  typeName?: (plain: string) => string
  /** What the event shows, where it is more than what differs: SQL on `before` and `after`. */
  changes?: string
}

/** The numbers of the first parameter of `eventValues`, and of the first that is the change's own. */
const FIRST_OF_EVENT = 5
export const FIRST_OWN = FIRST_OF_EVENT + EVENT_VALUES

export function recordedChange({
  table,
  columns,
  owner,
  among,
  values,
  type,
  typeName,
  changes,
}: RecordedChange): string {
  const assignments = Object.entries(values).map(([column, value]) => `${column} = ${value}`)
  // Of the row that is locked: who waited for another writer knows only by it what there is to change.
  const differences = Object.entries(values).map(
    ([column, value]) => `${value.replaceAll('subject.', 'locked.')} is distinct from locked.${column}`,
  )
  return `
  with locked as (
    select subject.*, $2::uuid is null or subject.${owner} = $2::uuid as allowed,
      ($3::int[] is null or subject.version = any($3::int[])) and subject.version <> all($4::int[]) as fits
    from ${table} as subject
    where subject.id = $1::uuid and ${among}
    for no key update
  ), before as (
    select ${columns}, subject.deleted_at, subject.allowed, subject.fits, null::uuid as recorded_owner
    from locked as subject
  ), after as (
    update ${table} as subject
    set ${assignments.join(', ')}, version = subject.version + 1, updated_at = now()
    from locked
    where subject.id = locked.id and locked.allowed and locked.fits and (${differences.join(' or ')})
    returning ${columns}, subject.deleted_at, true as allowed, true as fits, subject.${owner} as recorded_owner
  ), event as (${insertEvent(FIRST_OF_EVENT, {
    owner_id: `after.${owner}`,
    subject_id: 'after.id',
    changes: changes ?? `changes_between(${stateOf('before', type)}, ${stateOf('after', type)})`,
    from: 'before, after',
    announced: type.announced,
    ...(typeName !== undefined && { type: typeName(`$${FIRST_OF_EVENT + AT_TYPE}::text`) }),
  })}
  )
  select * from after union all select * from before where not exists (select from after)`
}

/** Which row, whose, and in which version. */
export interface Target {
  id: string
  /** Whose it must be; null for those who may change anybody's. */
  owner_id: string | null
  precondition: Precondition
}

/** Runs such a statement with its own parameters, and answers with the rows that it found: one, or none. */
export const changeRecorded = (
  db: Db,
  text: string,
  own: unknown[],
  target: Target,
  actor: Actor,
  type: EventType,
): Promise<Row[]> => writeAndTell(db, text, [...changeValues(target, actor, type), ...own], type)

/** The parameters of such a statement, but for the change's own. */
function changeValues({ id, owner_id, precondition }: Target, actor: Actor, type: EventType): unknown[] {
  const { only, except } = versionsFor(precondition, id)
  return [id, owner_id, only && integers(only), integers(except), ...eventValues(actor, type)]
}

/** As Postgres writes an array. */
const integers = (values: readonly number[]) => `{${values.join(',')}}`

interface ChangeRow extends Record<string, unknown> {
  /** Whether the caller may change it. */
  allowed: boolean
  /** Whether it has the version that the request supposes. */
  fits: boolean
}

/** The row that was found, unless it may not be changed. */
export function demandChanged(
  row: Record<string, unknown> | undefined,
  refuse: { missing(): Error; foreign(): Error },
) {
  const { allowed, fits, ...rest } = (row ?? throwing(refuse.missing())) as ChangeRow
  if (!allowed) throw refuse.foreign()
  if (!fits) throw preconditionFailed()
  return rest
}

function throwing(error: Error): never {
  throw error
}
