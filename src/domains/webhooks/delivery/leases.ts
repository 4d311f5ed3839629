import { PLACE_IS_OWN } from '../../../accounts/own-events.ts'
import { momentOf } from '../../../db/moments.ts'
import { executePrepared } from '../../../db/raw.ts'
import type { Db } from '../../../db/types.ts'
import type { Changes } from '../../../events/tables.ts'
import type { AttemptEntry } from '../tables.ts'

// Who may send to a webhook: one process at a time, so that its events come in order. The lease is a random id of the
// process; whoever was given up for dead, and comes back late, finds another one there and can store nothing.

/** More attempts than a schedule has; of one that is replayed again and again, the oldest go. */
const ATTEMPTS_KEPT = 20

const FAILING_FOR = "interval '5 days'"

export interface Holder {
  lease: string
  lease_ms: number
}

export interface ClaimedWebhook {
  id: string
  failing: boolean
}

/**
 * Webhooks for which something is due, and those whose process has died. The ones that fail are counted apart: they take
 * as long as they are let, and the others must not wait for them.
 */
export async function claimWebhooks(
  db: Db,
  { lease, lease_ms }: Holder,
  most: { healthy: number; failing: number },
): Promise<ClaimedWebhook[]> {
  const values = [lease, lease_ms, most.healthy, most.failing]
  return (await executePrepared(db, CLAIM, values)) as unknown as ClaimedWebhook[]
}

const claimable = (which: string, limit: string) => `
    select webhooks.id from webhooks
    where ${which} and enabled and webhooks.deleted_at is null
      and exists (select from users where users.id = user_id and is_active and users.deleted_at is null)
    order by due_at limit ${limit}
    for no key update skip locked`

// Apart, so that each is a walk along an index that ends with the last one that is taken.
const CLAIM = `
  with abandoned as (${claimable('lease is not null and leased_until <= now()', '$3::int + $4::int')}
  ), healthy as (${claimable('lease is null and due_at <= now() and failing_since is null', '$3::int')}
  ), failing as (${claimable('lease is null and due_at <= now() and failing_since is not null', '$4::int')}
  )
  update webhooks
  set lease = $1::uuid, leased_until = now() + $2::int * interval '1 ms', due_at = null
  where id in (select id from abandoned union all select id from healthy union all select id from failing)
  returning id, failing_since is not null as failing`

export async function renewLeases(db: Db, { lease, lease_ms }: Holder, ids: readonly string[]) {
  await executePrepared(db, RENEW, [lease, lease_ms, JSON.stringify(ids)])
}

const RENEW = `
  update webhooks set leased_until = now() + $2::int * interval '1 ms'
  where id = any(array(
    select id from webhooks
    where lease = $1::uuid and id in (select value::uuid from jsonb_array_elements_text($3::jsonb))
    -- In the order of whoever else locks several, or two could wait for each other.
    order by id for no key update
  ))`

/**
 * Gives a webhook back. What was added to it meanwhile has set `due_at`. What waits already is due from now on, not since
 * when it came: the webhook stands behind the others that are due, however long its queue is.
 */
export async function releaseWebhook(db: Db, { lease }: Holder, id: string, rest_ms = 0) {
  await executePrepared(db, RELEASE, [lease, id, rest_ms])
}

const RELEASE = `
  update webhooks
  set lease = null, leased_until = null, due_at = (
    select greatest(first, paused_until, now() + $3::int * interval '1 ms') from (
      select least(due_at, (
        select next_attempt_at from webhook_deliveries
        where webhook_id = $2::uuid and status = 'pending' order by next_attempt_at limit 1
      )) as first
    ) as waiting
    where first is not null
  )
  where id = $2::uuid and lease = $1::uuid`

/** For an embedded database that was just opened: whoever sent died with the process before. */
export async function endAllLeases(db: Db) {
  await executePrepared(db, 'update webhooks set leased_until = now() where lease is not null', [])
}

/** What is to be sent next, with all that it takes. */
export interface DueDelivery {
  id: string
  webhook_id: string
  type: string
  tries: number
  request_id: string | null
  created_at: Date
  url: string
  /** Sealed. */
  secret: string
  previous_secret: string | null
  /** As far as the owner of the webhook may see it; null if it is a ping, not kept any more, or not for that owner any more. */
  event: DueEvent | null
}

export interface DueEvent {
  id: string
  type: string
  actor: { type: string; id: string | null }
  owner_id: string | null
  subject: { type: string; id: string | null }
  request_id: string | null
  ip: string | null
  user_agent: string | null
  changes: Changes
  created_at: Date
}

/** The first that is due, as long as the webhook is ours, enabled and not to be left alone, and its owner active. */
export async function nextDelivery(
  db: Db,
  { lease, lease_ms }: Holder,
  webhook_id: string,
): Promise<DueDelivery | undefined> {
  const [row] = await executePrepared(db, NEXT, [lease, webhook_id, lease_ms])
  if (row === undefined) return undefined
  const { event_id, event_created_at, created_at, actor_type, actor_id, subject_type, subject_id, ...rest } =
    row as unknown as Row
  const { owner_id, ip, user_agent, changes, event_request_id, ...delivery } = rest
  const event =
    event_id === null
      ? null
      : {
          id: event_id,
          type: delivery.type,
          actor: { type: actor_type, id: actor_id },
          owner_id,
          subject: { type: subject_type, id: subject_id },
          request_id: event_request_id,
          ip,
          user_agent,
          changes,
          created_at: momentOf(event_created_at),
        }
  return { ...delivery, webhook_id, created_at: momentOf(created_at), event }
}

interface Row extends Omit<DueDelivery, 'created_at' | 'webhook_id' | 'event'> {
  created_at: string
  event_id: string | null
  event_request_id: string | null
  event_created_at: string
  actor_type: string
  actor_id: string | null
  owner_id: string | null
  subject_type: string
  subject_id: string | null
  ip: string | null
  user_agent: string | null
  changes: Changes
}

const ifShown = (column: string) =>
  `case when held.sees_all or ${PLACE_IS_OWN} then events.${column} end as ${column}`

const NEXT = `
  with held as (
    update webhooks set leased_until = now() + $3::int * interval '1 ms'
    from users
    where webhooks.id = $2::uuid and lease = $1::uuid and enabled and webhooks.deleted_at is null
      and (paused_until is null or paused_until <= now())
      and users.id = webhooks.user_id and users.is_active and users.deleted_at is null
    returning webhooks.id, user_id, url, secret, scope = 'all' and users.role = 'admin' as sees_all,
      case when previous_secret_expires_at > now() then previous_secret end as previous_secret
  ), chosen as (
    -- Not by a join, which would read and sort all that waits for each that is sent.
    select * from webhook_deliveries
    where webhook_id = (select id from held) and status = 'pending' and next_attempt_at <= now()
    order by next_attempt_at, transaction_id, id limit 1
  )
  select chosen.id, chosen.type, chosen.tries, chosen.request_id, chosen.created_at,
    held.url, held.secret, held.previous_secret,
    events.id as event_id, events.actor_type, events.actor_id, events.owner_id, events.subject_type, events.subject_id,
    events.request_id as event_request_id, ${ifShown('ip')}, ${ifShown('user_agent')}, events.changes,
    events.created_at as event_created_at
  from held cross join chosen
    left join events on events.id = chosen.id and (held.sees_all or events.owner_id = held.user_id)`

export interface Outcome {
  status: 'pending' | 'succeeded' | 'failed'
  /** When to try again, of what is pending. */
  wait_seconds: number | null
  /** How long the receiver wants to hear of nothing. */
  pause_seconds: number | null
  attempt: AttemptEntry
}

/** Where it goes on failing: whether the webhook has done nothing else for so long that it is to be disabled. */
export interface Failing {
  for_too_long: boolean
}

export async function storeOutcome(
  db: Db,
  { lease }: Holder,
  { webhook_id, id, tries }: Pick<DueDelivery, 'webhook_id' | 'id' | 'tries'>,
  { status, wait_seconds, pause_seconds, attempt }: Outcome,
): Promise<Failing | undefined> {
  const entry = JSON.stringify([attempt])
  const values = [lease, webhook_id, id, status, wait_seconds, entry, pause_seconds, tries]
  const [row] = await executePrepared(db, STORE, values)
  return row as unknown as Failing | undefined
}

/** Whether the failure is of the tries that count: not if the owner has had it begin anew meanwhile. */
const IS_COUNTED = "($4::text = 'succeeded' or deliveries.tries = $8::int)"

/** The webhook itself changes only when it begins or ends to fail, or to be silent. */
const STORE = `
  with stored as (
    update webhook_deliveries as deliveries
    set status = case when ${IS_COUNTED} then $4::text else 'pending' end,
      tries = case when ${IS_COUNTED} then deliveries.tries + 1 else deliveries.tries end,
      next_attempt_at = case when ${IS_COUNTED} then now() + $5::float8 * interval '1 s' else next_attempt_at end,
      attempts = case when jsonb_array_length(attempts) < ${ATTEMPTS_KEPT} then attempts else attempts - 0 end || $6::jsonb
    from webhooks
    where webhooks.id = $2::uuid and webhooks.lease = $1::uuid
      and deliveries.webhook_id = webhooks.id and deliveries.id = $3::uuid and deliveries.status = 'pending'
    returning deliveries.id
  )
  update webhooks
  set failing_since = case when $4::text <> 'succeeded' then coalesce(failing_since, now()) end,
    paused_until = now() + $7::float8 * interval '1 s'
  where id = $2::uuid and lease = $1::uuid and deleted_at is null
    and ($4::text <> 'succeeded' or failing_since is not null)
    -- First the delivery, as whoever has it sent again does, or each of the two could wait for what the other has locked.
    and (select count(*) from stored) >= 0
  returning coalesce(failing_since <= now() - ${FAILING_FOR}, false) as for_too_long`
