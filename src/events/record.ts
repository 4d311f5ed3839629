import { isDeepStrictEqual } from 'node:util'
import type { TObject } from '@sinclair/typebox'
import { executePrepared } from '../db/raw.ts'
import type { Tx } from '../db/types.ts'
import type { Actor } from '../lib/actor.ts'
import { newId, timeOfId } from '../lib/id.ts'
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
  facts: Facts<Fields>,
): Promise<void> {
  await executePrepared(tx, INSERT, eventValues(actor, type, facts))
}

const INSERT = `
  insert into events (
    id, created_at, type, actor_type, actor_id, owner_id, subject_type, subject_id, request_id, ip, user_agent, changes
  ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

function eventValues<Fields extends TObject>(
  { type: actor_type, id: actor_id, origin }: Actor,
  { name, subject, fields }: EventType<Fields>,
  { subject_id, owner_id, before, after }: Facts<Fields>,
): unknown[] {
  const { request_id, ip, user_agent } = origin
  const id = newId()
  // The same instant, so that the month of an event follows from either.
  const created_at = timeOfId(id)
  const changes = changesBetween(fields, before, after)
  return [
    ...[id, created_at, name, actor_type, actor_id, owner_id, subject, subject_id],
    ...[request_id, ip, user_agent, changes],
  ]
}

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
