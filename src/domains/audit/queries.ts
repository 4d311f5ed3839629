import { and, desc, eq, gte, inArray, lt, type SQL, sql } from 'drizzle-orm'
import { unionAll } from 'drizzle-orm/pg-core'
import type { Db } from '../../db/types.ts'
import { allEventTypes } from '../../events/event-type.ts'
import { eventColumns } from '../../events/schemas.ts'
import { events } from '../../events/tables.ts'
import { firstIdAt } from '../../lib/id.ts'
import type { EventFilter } from './schemas.ts'

interface Page {
  /** Only events older than this one. */
  before?: string | undefined
  limit: number
}

/** Newest first, by id: the partitions are in the same order, so the newest page reads the newest partition. */
export function listEvents(db: Db, filter: EventFilter, { before, limit }: Page) {
  const condition = and(...conditionsOf(filter), before === undefined ? undefined : lt(events.id, before))
  const ids = filter.actor_id === undefined ? undefined : idsByActor(db, filter.actor_id, condition, limit)
  return db
    .select(eventColumns)
    .from(events)
    .where(ids === undefined ? condition : inArray(events.id, ids))
    .orderBy(desc(events.id))
    .limit(limit)
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

function conditionsOf(filter: EventFilter): (SQL | undefined)[] {
  const { type, subject_id, owner_id, request_id, from, to } = filter
  return [
    type && inArray(events.type, typesMatching(type)),
    subject_id && eq(events.subject_id, subject_id),
    owner_id && eq(events.owner_id, owner_id),
    request_id && eq(events.request_id, request_id),
    // By id, which carries the time, so that the other months need not be looked at.
    from && gte(events.id, firstIdAt(new Date(from))),
    to && lt(events.id, firstIdAt(new Date(to))),
  ].map(condition => condition || undefined)
}

function typesMatching(type: string): string[] {
  if (!type.endsWith('*')) return [type]
  const names = allEventTypes().map(({ name }) => name as string)
  return names.filter(name => name.startsWith(type.slice(0, -1)))
}
