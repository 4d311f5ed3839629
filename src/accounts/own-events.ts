import { sql } from 'drizzle-orm'
import { eventColumns } from '../events/schemas.ts'

/**
 * Whether the owner of an event may know the place that it came from. A stranger who tried to get in is nobody's secret;
 * where another user was, or a job on behalf of one, is theirs. SQL on `events`.
 */
export const PLACE_IS_OWN = `(
  events.actor_type = 'anonymous' or coalesce(events.actor_id = events.owner_id, false)
  or exists (select from api_keys as k where k.id = events.actor_id and k.user_id = events.owner_id)
)`

const ifOwn = (column: string) =>
  sql<string | null>`${sql.raw(`case when ${PLACE_IS_OWN} then events.${column} end`)}`

/** What a query selects to show events to their owner. */
export const ownEventColumns = { ...eventColumns, ip: ifOwn('ip'), user_agent: ifOwn('user_agent') }
