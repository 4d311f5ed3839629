import { executePrepared } from '../../../db/raw.ts'
import type { Db } from '../../../db/types.ts'
import { WOKEN } from '../waking.ts'

const MOST_AT_ONCE = 500

/** So long the embedded database has time for nothing else, and the place stays locked. */
const LONG_MS = 100

/** Notes the next events; tells whether any were, and whether there may be more. */
export type ReadOn = () => Promise<{ some: boolean; more: boolean }>

/**
 * Reads as many events at once as do not take long. Where thousands of webhooks hear of everything, five hundred would run
 * into the statement timeout each time, and nobody would be told of anything any more; a quarter of them may not, nor a
 * quarter of those.
 */
export function createReader(db: Db): ReadOn {
  let at_once = MOST_AT_ONCE
  return async () => {
    const asked = at_once
    at_once = Math.ceil(asked / 4)
    const began = performance.now()
    const count = await fanOut(db, asked)
    at_once = suitable(asked, count, performance.now() - began)
    return { some: count > 0, more: count === asked }
  }
}

/** How many to read after `count` of those that were asked for took so long. */
export function suitable(asked: number, count: number, took_ms: number): number {
  if (count > 0 && took_ms > LONG_MS) return Math.ceil((count * LONG_MS) / took_ms)
  return count === asked ? Math.min(asked * 2, MOST_AT_ONCE) : asked
}

/**
 * Reads the next events in their order, and notes for each which webhooks are to hear of it: in one statement, so that
 * nothing is skipped or noted twice whenever a process dies. One process at a time does so; others find the place locked
 * and have nothing to do. Returns how many events were read.
 */
export async function fanOut(db: Db, at_once = MOST_AT_ONCE): Promise<number> {
  const [row] = await executePrepared(db, FAN_OUT, [at_once])
  return Number(row?.count)
}

const FAN_OUT = `
  with reader as materialized (
    select transaction_id, id from event_readers
    -- Locked only if there is something to read: a lock is written, and idle processes ask four times a second.
    where name = 'webhooks' and (
      select id from events
      where (events.transaction_id, events.id) > (event_readers.transaction_id, event_readers.id)
        and events.transaction_id < event_horizon()
      order by events.transaction_id, events.id limit 1
    ) is not null
    for update skip locked
  ), moment as materialized (
    -- Once the place is locked: by now(), whoever got it late would have the later events sent first.
    select date_trunc('milliseconds', clock_timestamp()) as noted_at from reader
  ), batch as materialized (
    select events.id, events.transaction_id, events.type, events.owner_id, events.request_id
    from events
    -- As values, not as a join, which would read and sort all that is to come for each batch.
    where (events.transaction_id, events.id) > ((select transaction_id from reader), (select id from reader))
      and events.transaction_id < event_horizon()
    order by events.transaction_id, events.id limit $1::int
  ), owed as (
    select webhooks.id as webhook_id, webhooks.types, batch.*
    from batch join webhooks on webhooks.user_id = batch.owner_id and webhooks.scope = 'own'
    where webhooks.enabled and webhooks.deleted_at is null and webhooks.made_in_transaction < batch.transaction_id
      and exists (select from users where users.id = webhooks.user_id and is_active and users.deleted_at is null)
    union all
    select webhooks.id, webhooks.types, batch.*
    from batch cross join webhooks join users on users.id = webhooks.user_id
    where webhooks.scope = 'all' and (users.role = 'admin' or users.id = batch.owner_id)
      and webhooks.enabled and webhooks.deleted_at is null and webhooks.made_in_transaction < batch.transaction_id
      and users.is_active and users.deleted_at is null
  ), noted as (
    insert into webhook_deliveries (webhook_id, id, transaction_id, type, request_id, next_attempt_at)
    select webhook_id, id, transaction_id, type, request_id, noted_at from owed cross join moment
    where exists (select from jsonb_array_elements_text(types) as pattern where event_type_matches(type, pattern))
    -- As a replay does, or each of the two could wait for what the other has inserted.
    order by transaction_id, id, webhook_id
    on conflict do nothing
    returning webhook_id
  ), woken as (
    update webhooks set ${WOKEN} where id = any(array(
      select id from webhooks where id in (select webhook_id from noted) order by id for no key update
    ))
  ), moved as (
    update event_readers set transaction_id = last.transaction_id, id = last.id
    from (select transaction_id, id from batch order by transaction_id desc, id desc limit 1) as last
    where name = 'webhooks'
  )
  select count(*) from batch`
