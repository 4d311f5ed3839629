import { isDeepStrictEqual } from 'node:util'
import type { TObject } from '@sinclair/typebox'
import { momentText } from '../db/moments.ts'
import { executePrepared } from '../db/raw.ts'
import type { Tx } from '../db/types.ts'
import type { Actor } from '../lib/actor.ts'
import { newId, timeOfId } from '../lib/id.ts'
import { announcement, tellCommitted } from './committed.ts'
import type { EventType, State } from './event-type.ts'
import type { Changes } from './tables.ts'

interface Facts<Fields extends TObject> {
  subject_id: string | null
  /** Whose data it is about: that user sees the event. */
  owner_id: string | null
  /** Absent when the subject has just come into being. */
  before?: State<Fields>
  /** Absent when the subject has ceased to be. */
  after?: State<Fields>
}

/** Records what the caller's transaction changes; it is there when that commits, and not otherwise. */
export async function record<Fields extends TObject>(
  tx: Tx,
  actor: Actor,
  type: EventType<Fields>,
  { owner_id, subject_id, before, after }: Facts<Fields>,
): Promise<void> {
  const changes = changesBetween(type.fields, before, after)
  const text = INSERT + announcement(type)
  await executePrepared(tx, text, [...eventValues(actor, type), owner_id, subject_id, changes])
  tellCommitted(tx, { type: type.name, owner_id })
}

const COLUMNS =
  'id, created_at, type, subject_type, actor_type, actor_id, request_id, ip, user_agent, owner_id, subject_id, changes'

const INSERT = `
  insert into events (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

/** What an event says besides the change itself; the parameters of `insertEvent`. */
export function eventValues(
  { type: actor_type, id: actor_id, origin }: Actor,
  { name, subject }: EventType,
): unknown[] {
  const { request_id, ip, user_agent } = origin
  const id = newId()
  // The same instant, so that the month of an event follows from either.
  return [id, timeOfId(id), name, subject, actor_type, actor_id, request_id, ip, user_agent]
}

interface RecordedInSql {
  owner_id: string
  subject_id: string
  changes: string
  /** What these are taken from: one row for each event. */
  from: string
  /** Where the change itself tells what kind it is. */
  type?: string
  announced: boolean
}

/**
 * Records as a part of the very statement that makes the change: one round trip instead of four. Its parts are SQL; its
 * parameters, from `first` on, are `eventValues`.
 */
export function insertEvent(
  first: number,
  { owner_id, subject_id, changes, from, announced, type = `$${first + AT_TYPE}::text` }: RecordedInSql,
): string {
  const values = VALUE_TYPES.map((kind, index) => `$${first + index}::${kind}`).with(AT_TYPE, type)
  return `
    insert into events (${COLUMNS})
    select ${values.join(', ')}, ${owner_id}, ${subject_id}, ${changes} from ${from}
    ${announcement({ announced })}`
}

/** Of `eventValues`, in SQL. */
const VALUE_TYPES = ['uuid', 'timestamptz', 'text', 'text', 'text', 'uuid', 'text', 'text', 'text']

/** How many parameters `eventValues` are, and which of them is the name of the type. */
export const EVENT_VALUES = VALUE_TYPES.length
export const AT_TYPE = 2

/** The state of a row, in SQL, as far as events of this type show it. The row has a column for each field. */
export function stateOf(row: string, { fields }: EventType): string {
  const values = Object.entries(fields.properties).map(([field, { format }]) => {
    const value = `${row}.${field}`
    return `'${field}', ${format === 'date-time' ? momentText(value) : value}`
  })
  return `jsonb_build_object(${values})`
}

/**
 * Records many changes of one type at once, in the order of their subjects. For what is changed by the hundred: a
 * statement for each would be most of the work.
 */
export async function recordAll<Fields extends TObject>(
  tx: Tx,
  actor: Actor,
  type: EventType<Fields>,
  facts: readonly Facts<Fields>[],
): Promise<void> {
  if (facts.length === 0) return
  const rows = facts.map(({ owner_id, subject_id, before, after }) => {
    const id = newId()
    const changes = changesBetween(type.fields, before, after)
    return { id, created_at: timeOfId(id), owner_id, subject_id, changes }
  })
  const [, , ...common] = eventValues(actor, type)
  await executePrepared(tx, INSERT_ALL + announcement(type), [JSON.stringify(rows), ...common])
  const owners = new Set(facts.map(({ owner_id }) => owner_id))
  for (const owner_id of owners) tellCommitted(tx, { type: type.name, owner_id })
}

const INSERT_ALL = `
  insert into events (${COLUMNS})
  select id, created_at, $2, $3, $4, $5, $6, $7, $8, owner_id, subject_id, changes
  from jsonb_to_recordset($1::jsonb) as rows (
    id uuid, created_at timestamptz, owner_id uuid, subject_id uuid, changes jsonb
  )`

/** The fields that differ. Of a change, only what both states mention: a field that was not read has not changed. */
function changesBetween(
  { properties }: TObject,
  before: Record<string, unknown> | undefined,
  after: Record<string, unknown> | undefined,
): Changes {
  const states = [before, after].filter(state => state !== undefined)
  const changes: Changes = {}
  for (const field of Object.keys(properties)) {
    if (!states.every(state => Object.hasOwn(state, field))) continue
    const [old, current] = [before?.[field] ?? null, after?.[field] ?? null]
    if (!isDeepStrictEqual(old, current)) changes[field] = [old, current]
  }
  return changes
}
