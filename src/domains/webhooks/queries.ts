import { and, desc, eq, isNull, lt, type SQL, sql } from 'drizzle-orm'
import { momentOf } from '../../db/moments.ts'
import { isAfter, sortedBy, totalOf, withTotal } from '../../db/paging.ts'
import { allRows } from '../../db/rows.ts'
import type { Db } from '../../db/types.ts'
import { inBatches } from '../../lib/batches.ts'
import type { Found } from '../../lib/paging.ts'
import type { Reach } from './access.ts'
import type { sortedWebhooks, Webhook, WebhookDelivery } from './schemas.ts'
import { webhookDeliveries, webhooks } from './tables.ts'

/** What a query selects to answer with `Webhook`. */
export const webhookColumns = {
  id: webhooks.id,
  user_id: webhooks.user_id,
  url: webhooks.url,
  description: webhooks.description,
  types: webhooks.types,
  scope: webhooks.scope,
  enabled: webhooks.enabled,
  disabled_reason: webhooks.disabled_reason,
  disabled_at: webhooks.disabled_at,
  failing_since: webhooks.failing_since,
  previous_secret_expires_at: sql<Date | null>`
    case when ${webhooks.previous_secret_expires_at} > now() then ${webhooks.previous_secret_expires_at} end`.mapWith(
    webhooks.previous_secret_expires_at,
  ),
  version: webhooks.version,
  created_at: webhooks.created_at,
  updated_at: webhooks.updated_at,
}

interface Page {
  before: string | undefined
  limit: number
}

type WebhookSlice = ReturnType<typeof sortedWebhooks.slice>

export async function selectWebhooks(db: Db, reach: Reach, slice: WebhookSlice): Promise<Found<Webhook>> {
  const where = isReached(reach)
  const order = { column: webhooks.created_at, id: webhooks.id, direction: slice.sort_dir }
  const rows = await db
    .select({ ...webhookColumns, total: totalOf(db, webhooks, where, slice) })
    .from(webhooks)
    .where(and(where, isAfter(order, slice.after)))
    .orderBy(...sortedBy(order))
    .limit(slice.limit)
    .offset(slice.offset)
  return withTotal(rows, slice, () => db.$count(webhooks, where))
}

export async function findWebhook(db: Db, id: string, reach: Reach) {
  const [webhook] = await db
    .select(webhookColumns)
    .from(webhooks)
    .where(and(eq(webhooks.id, id), isReached(reach)))
  return webhook
}

export const countWebhooks = (db: Db, user_id: string): Promise<number> =>
  db.$count(webhooks, isReached({ user_id, own_only: false }))

const isReached = ({ user_id, own_only }: Reach): SQL | undefined =>
  and(
    eq(webhooks.user_id, user_id),
    isNull(webhooks.deleted_at),
    own_only ? eq(webhooks.scope, 'own') : undefined,
  )

export interface WebhookHealth {
  id: string
  url: string
  enabled: boolean
  disabled_reason: Webhook['disabled_reason']
  failing_since: Date | null
  pending: number
  failed: number
}

/** How a user's webhooks do, oldest first. */
export async function listHealth(db: Db, user_id: string): Promise<WebhookHealth[]> {
  const count = (status: 'pending' | 'failed') => sql`(
    select count(*)::int from webhook_deliveries where webhook_id = webhooks.id and status = ${sql.raw(`'${status}'`)})`
  const rows = await allRows<WebhookHealth>(
    db,
    sql`
      select id, url, enabled, disabled_reason, failing_since, ${count('pending')} as pending, ${count('failed')} as failed
      from webhooks where user_id = ${user_id} and deleted_at is null order by id`,
  )
  return rows.map(row => ({ ...row, failing_since: row.failing_since && momentOf(row.failing_since) }))
}

/** What a query selects to answer with `WebhookDelivery`. */
const deliveryColumns = {
  id: webhookDeliveries.id,
  webhook_id: webhookDeliveries.webhook_id,
  type: webhookDeliveries.type,
  request_id: webhookDeliveries.request_id,
  status: webhookDeliveries.status,
  next_attempt_at: webhookDeliveries.next_attempt_at,
  attempts: webhookDeliveries.attempts,
  created_at: webhookDeliveries.created_at,
}

interface DeliveryFilter {
  webhook_id: string
  status?: WebhookDelivery['status'] | undefined
}

/** Newest first, by the time of the event. */
export const selectDeliveries = (db: Db, { webhook_id, status }: DeliveryFilter, { before, limit }: Page) =>
  db
    .select(deliveryColumns)
    .from(webhookDeliveries)
    .where(
      and(
        eq(webhookDeliveries.webhook_id, webhook_id),
        status && eq(webhookDeliveries.status, status),
        before === undefined ? undefined : lt(webhookDeliveries.id, before),
      ),
    )
    .orderBy(desc(webhookDeliveries.id))
    .limit(limit)

export async function findDelivery(db: Db, webhook_id: string, id: string) {
  const [delivery] = await db
    .select(deliveryColumns)
    .from(webhookDeliveries)
    .where(and(eq(webhookDeliveries.webhook_id, webhook_id), eq(webhookDeliveries.id, id)))
  return delivery
}

// What is held about a user, deleted webhooks too, without the secrets.

const webhooksOf = (db: Db, user_id: string, before: string | undefined, limit: number) =>
  db
    .select({ ...webhookColumns, deleted_at: webhooks.deleted_at })
    .from(webhooks)
    .where(and(eq(webhooks.user_id, user_id), before === undefined ? undefined : lt(webhooks.id, before)))
    .orderBy(desc(webhooks.id))
    .limit(limit)

/** In batches, newest first: who makes and deletes them all day has any number until the night. */
export const readWebhooksOf = (db: Db, user_id: string, limit: number) =>
  inBatches(before => webhooksOf(db, user_id, before, limit), limit)

/** Webhook by webhook, because that is what the index begins with. */
export async function* readDeliveriesOf(db: Db, user_id: string, limit: number) {
  for await (const batch of readWebhooksOf(db, user_id, limit)) {
    for (const { id: webhook_id } of batch)
      yield* inBatches(before => selectDeliveries(db, { webhook_id }, { before, limit }), limit)
  }
}
