import { sql } from 'drizzle-orm'
import { allRows } from '../../db/rows.ts'
import type { Db } from '../../db/types.ts'
import { firstIdAt } from '../../lib/id.ts'

/** How the sending stands, of all webhooks together. */
export interface Standing {
  enabled: number
  /** Of the enabled ones. */
  failing: number
  /** Deliveries to enabled ones that should have been attempted before `late`. */
  overdue: number
  /** Of those, the ones that nothing but the lack of a worker keeps from being sent. */
  forgotten: number
  /** Whether, although there are enabled ones, an event from before `late` has yet to be noted for those that are owed it. */
  unread: boolean
}

/** A webhook that waits for its turn is due since it last had one, so that a long queue is no sign of a missing worker. */
export async function readStanding(db: Db, late: Date): Promise<Standing> {
  const moment = sql`${late.toISOString()}::timestamptz`
  const [standing] = await allRows<Standing>(
    db,
    sql`
      select count(*)::int as enabled, count(failing_since)::int as failing,
        coalesce(sum(overdue), 0)::int as overdue,
        coalesce(sum(overdue) filter (where failing_since is null and coalesce(paused_until <= now(), true)
          and coalesce(leased_until, due_at, '-infinity') < ${moment}
          and exists (select from users where users.id = user_id and is_active and users.deleted_at is null)
        ), 0)::int as forgotten,
        count(*) > 0 and coalesce((
          select (
            select id from events
            where (events.transaction_id, events.id) > (event_readers.transaction_id, event_readers.id)
              and events.transaction_id < event_horizon()
            order by events.transaction_id, events.id limit 1
          ) < ${firstIdAt(late)}::uuid
          from event_readers where name = 'webhooks'
        ), false) as unread
      from webhooks, lateral (
        select count(*) as overdue from webhook_deliveries
        where webhook_id = webhooks.id and status = 'pending' and next_attempt_at < ${moment}
      ) as waiting
      where enabled and deleted_at is null`,
  )
  return standing as Standing
}
