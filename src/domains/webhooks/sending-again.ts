import { momentOf } from '../../db/moments.ts'
import { executePrepared, type Row } from '../../db/raw.ts'
import { inTransaction, writeInOneStatement } from '../../db/transaction.ts'
import type { Db } from '../../db/types.ts'
import { firstIdAt, newId } from '../../lib/id.ts'
import { Conflict, fieldFault, NotFound } from '../../lib/problems.ts'
import type { ANYBODYS, Reach } from './access.ts'
import { PING } from './delivery/message.ts'
import { MOST_REPLAYED } from './limits.ts'
import type { Replay, WebhookDelivery } from './schemas.ts'
import { noSuchWebhook } from './service.ts'
import { WOKEN_AT_ONCE } from './waking.ts'

// What an owner has sent again, or for a test: each is one statement, and as good as delivered once it is committed.

/** The webhook, if it is the caller's; `hook` to the rest of a statement, which does something only if it is enabled. */
const HOOK = `
  hook as (
    select id, user_id, types, enabled,
      scope = 'all' and exists (select from users where users.id = user_id and role = 'admin') as sees_all
    from webhooks
    where id = $1::uuid and ($2::uuid is null or user_id = $2::uuid) and deleted_at is null
      and (not $3::boolean or scope = 'own')
  )`

type AnyReach = Reach | typeof ANYBODYS

const hookValues = (id: string, { user_id, own_only }: AnyReach) => [id, user_id, own_only]

/** Waits in the log like any other. */
export async function ping(
  db: Db,
  id: string,
  reach: Reach,
  request_id: string | null,
): Promise<WebhookDelivery> {
  const values = [...hookValues(id, reach), newId(), request_id]
  return deliveryOf(await writeInOneStatement(db, SEND_PING, values))
}

const DELIVERY_COLUMNS = 'id webhook_id type request_id status next_attempt_at attempts created_at'
  .split(' ')
  .map(column => `delivery.${column}`)
  .join(', ')

const WAKE = `woken as (update webhooks set ${WOKEN_AT_ONCE} where id in (select webhook_id from delivery))`

const SEND_PING = `
  with ${HOOK}, delivery as (
    insert into webhook_deliveries (webhook_id, id, transaction_id, type, request_id, next_attempt_at)
    select id, $4::uuid, event_clock(), '${PING}', $5::text, now() from hook where enabled
    returning *
  ), ${WAKE}
  select hook.enabled, ${DELIVERY_COLUMNS} from hook left join delivery on true`

/** With all its attempts before it, and under the same id. */
export async function replayDelivery(
  db: Db,
  id: string,
  reach: AnyReach,
  delivery_id: string,
): Promise<WebhookDelivery> {
  const values = [...hookValues(id, reach), delivery_id]
  return deliveryOf(await writeInOneStatement(db, REPLAY_ONE, values))
}

const AGAIN = "status = 'pending', tries = 0, next_attempt_at = now()"

const REPLAY_ONE = `
  with ${HOOK}, delivery as (
    update webhook_deliveries set ${AGAIN}
    from hook
    where webhook_id = hook.id and hook.enabled and webhook_deliveries.id = $4::uuid
    returning webhook_deliveries.*
  ), ${WAKE}
  select hook.enabled, ${DELIVERY_COLUMNS} from hook left join delivery on true`

function deliveryOf(rows: Row[]): WebhookDelivery {
  const { enabled: _enabled, ...row } = demandEnabled(rows)
  if (row.id === null) throw noSuchDelivery()
  const { next_attempt_at, created_at } = row
  return {
    ...row,
    next_attempt_at: momentOf(next_attempt_at),
    created_at: momentOf(created_at),
  } as unknown as WebhookDelivery
}

export const noSuchDelivery = () => new NotFound('The webhook has no such delivery.')

function demandEnabled([row]: Row[]): Row {
  if (row === undefined) throw noSuchWebhook()
  if (row.enabled !== true) throw new Conflict('The webhook is disabled; enable it first.')
  return row
}

/** Returns how many events are on their way again. */
export async function replayRange(
  db: Db,
  id: string,
  reach: AnyReach,
  { from, to, failed_only = false }: Replay,
): Promise<number> {
  const [start, end] = [new Date(from), to === undefined ? new Date() : new Date(to)]
  if (start >= end) throw tooLate()
  const values = [...hookValues(id, reach), firstIdAt(start), firstIdAt(end), MOST_REPLAYED + 1]
  const statement = failed_only ? REPLAY_FAILED : REPLAY_ALL
  // Run again when it and a delivery that is under way have waited for each other.
  const rows = await inTransaction(db, tx => executePrepared(tx, statement, values))
  const { count } = demandEnabled(rows)
  if (Number(count) > MOST_REPLAYED) throw tooMany()
  return Number(count)
}

const tooLate = () =>
  faultyStart('order', 'must be a moment before `to`, or before now where that is left out')

const tooMany = () =>
  faultyStart(
    'too_many',
    `must not be followed by more than ${MOST_REPLAYED} events until the end of the time; ask for less of it`,
  )

const faultyStart = (code: string, message: string) =>
  fieldFault({ in: 'body', pointer: '/from', code, message })

const FEW_ENOUGH = '(select count(*) from chosen) < $6::int'
const COUNT = 'select enabled, (select count(*) from chosen)::int as count from hook'

const REPLAY_FAILED = `
  with ${HOOK}, chosen as materialized (
    select webhook_deliveries.webhook_id, webhook_deliveries.id
    from hook join webhook_deliveries on webhook_id = hook.id
    where hook.enabled and (status = 'failed' or status = 'pending' and tries > 0) and type <> '${PING}'
      and webhook_deliveries.id >= $4::uuid and webhook_deliveries.id < $5::uuid
    limit $6::int
  ), delivery as (
    update webhook_deliveries set ${AGAIN}
    from chosen
    where webhook_deliveries.webhook_id = chosen.webhook_id and webhook_deliveries.id = chosen.id and ${FEW_ENOUGH}
    returning webhook_deliveries.webhook_id
  ), ${WAKE}
  ${COUNT}`

const eventsWhere = (isSeen: string) => `
    select hook.id as webhook_id, events.id, events.transaction_id, events.type, events.request_id
    from hook join events on ${isSeen}
    where hook.enabled and events.id >= $4::uuid and events.id < $5::uuid and events.transaction_id < event_horizon()
      and events.type like any((select likes from wanted)::text[])`

/** Patterns as LIKE has them, once for all events: asking `event_type_matches` for each takes seven times as long. */
const WANTED = `
  wanted as materialized (
    select array(
      select replace(replace(pattern, '_', '\\_'), '*', '%')
      from hook cross join jsonb_array_elements_text(types) as pattern
    ) as likes
  )`

/** Only what is final: the rest is yet to be noted, and would be sent before what comes first. */
const REPLAY_ALL = `
  with ${HOOK}, ${WANTED}, chosen as materialized (
    ${eventsWhere('not sees_all and events.owner_id = hook.user_id')}
    union all
    ${eventsWhere('sees_all')}
    limit $6::int
  ), delivery as (
    insert into webhook_deliveries (webhook_id, id, transaction_id, type, request_id, next_attempt_at)
    select webhook_id, id, transaction_id, type, request_id, now() from chosen where ${FEW_ENOUGH}
    order by transaction_id, id
    on conflict (webhook_id, id) do update set ${AGAIN}
    returning webhook_id
  ), ${WAKE}
  ${COUNT}`
