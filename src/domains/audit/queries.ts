import { and, desc, eq, gte, inArray, lt, type SQL, sql } from 'drizzle-orm'
import { unionAll } from 'drizzle-orm/pg-core'
import { ownEventColumns } from '../../accounts/own-events.ts'
import { allRows } from '../../db/rows.ts'
import type { Db } from '../../db/types.ts'
import { eventColumns } from '../../events/schemas.ts'
import { events } from '../../events/tables.ts'
import { firstIdAt } from '../../lib/id.ts'
import type { EventFilter } from './schemas.ts'

interface Page {
  /** Only events older than this one. */
  before?: string | undefined
  limit: number
}

/** Newest first. */
export async function listEvents(db: Db, { type, ...filter }: EventFilter, page: Page) {
  const types = type === undefined ? undefined : await typesMatching(db, type)
  return selectEvents(db, filter, types, page)
}

/** What happened to a user's own, newest first. */
export const listOwnEvents = (db: Db, owner_id: string, page: Page) =>
  selectEvents(db, { owner_id }, undefined, page, ownEventColumns)

/** By id, newest first: the partitions are in the same order, so the newest page reads the newest partition. */
export function selectEvents(
  db: Db,
  filter: EventFilter,
  types: string[] | undefined,
  page: Page,
  columns: typeof eventColumns | typeof ownEventColumns = eventColumns,
) {
  const { before, limit } = page
  const condition = and(
    ...conditionsOf(filter),
    types && inArray(events.type, types),
    before === undefined ? undefined : lt(events.id, before),
  )
  const ids = filter.actor_id === undefined ? undefined : idsByActor(db, filter.actor_id, condition, limit)
  return db
    .select(columns as typeof eventColumns)
    .from(events)
    .where(ids === undefined ? condition : inArray(events.id, ids))
    .orderBy(desc(events.id))
    .limit(limit)
}

/** Of what was recorded, by whichever release; one step of the index for each type, not for each event. */
export async function typesMatching(db: Db, type: string): Promise<string[]> {
  if (!type.endsWith('*')) return [type]
  const rows = await allRows<{ type: string }>(
    db,
    sql`
      with recursive found as (
        (select type from events order by type limit 1)
        union all
        select (select type from events where type > found.type order by type limit 1)
        from found where found.type is not null
      )
      select type from found where starts_with(type, ${type.slice(0, -1)})`,
  )
  return rows.map(row => row.type)
}

/** What somebody does to their own is found by owner; the index by actor holds the rest. */
function idsByActor(db: Db, actor_id: string, condition: SQL | undefined, limit: number) {
  const page = (extra: SQL | undefined) =>
    db
      .select({ id: events.id })
      .from(events)
      .where(and(condition, eq(events.actor_id, actor_id), extra))
      .orderBy(desc(events.id))
      .limit(limit)
  return unionAll(
    page(eq(events.owner_id, actor_id)),
    page(sql`${events.actor_id} is distinct from ${events.owner_id}`),
  )
    .orderBy(desc(sql`id`))
    .limit(limit)
}

function conditionsOf({ subject_id, owner_id, request_id, from, to }: EventFilter) {
  return [
    subject_id && eq(events.subject_id, subject_id),
    owner_id && eq(events.owner_id, owner_id),
    request_id && eq(events.request_id, request_id),
    // By id, which carries the time, so that the other months need not be looked at.
    from && gte(events.id, firstIdAt(new Date(from))),
    to && lt(events.id, firstIdAt(new Date(to))),
  ].filter(condition => typeof condition === 'object')
}
