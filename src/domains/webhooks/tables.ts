import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
  uuid,
} from 'drizzle-orm/pg-core'
import { users } from '../../accounts/tables.ts'
import { createdAtColumn, idColumn, momentColumn, timestampColumns } from '../../db/columns.ts'

export const webhooks = pgTable(
  'webhooks',
  {
    id: idColumn(),
    user_id: uuid().notNull(),
    url: text().notNull(),
    description: text(),
    /** Patterns of the types that it hears of. */
    types: jsonb().$type<string[]>().notNull(),
    scope: text().$type<'own' | 'all'>().notNull(),
    enabled: boolean().notNull().default(true),
    disabled_reason: text().$type<'owner' | 'gone' | 'failing'>(),
    disabled_at: momentColumn(),
    /** Since when no attempt has succeeded; null as long as the last one did. */
    failing_since: momentColumn(),
    /** Sealed; gone once the webhook is deleted. */
    secret: text(),
    /** The one before the last rotation, with which messages are signed as well, for a while. */
    previous_secret: text(),
    previous_secret_expires_at: momentColumn(),
    version: integer().notNull().default(1),
    ...timestampColumns(),
    deleted_at: momentColumn(),
    /** It hears of what later transactions do. */
    made_in_transaction: bigint({ mode: 'bigint' }).notNull().default(sql`event_clock()`),
    /** When there is something to be sent, at the earliest. Set back by whoever adds something; null while nothing waits. */
    due_at: momentColumn(),
    /** The receiver asked for silence until then. */
    paused_until: momentColumn(),
    /** Which process sends to it, and how long that is believed without its renewing it. */
    lease: uuid(),
    leased_until: momentColumn(),
  },
  table => [
    foreignKey({
      name: 'webhooks_user_id_fkey',
      columns: [table.user_id],
      foreignColumns: [users.id],
    }).onDelete('cascade'),
    check('webhooks_scope_check', sql`${table.scope} in ('own', 'all')`),
    index('webhooks_by_user').on(table.user_id, table.id),
    index('webhooks_of_all').on(table.id).where(sql`${table.scope} = 'all'`),
    // Of these two, what is due is found: few rows, whatever the number of webhooks.
    index('webhooks_due').on(table.due_at).where(sql`${table.due_at} is not null and ${table.enabled}`),
    index('webhooks_leased').on(table.id).where(sql`${table.lease} is not null`),
    index('webhooks_deleted').on(table.deleted_at).where(sql`${table.deleted_at} is not null`),
  ],
)

/** What came of an attempt, as the delivery log tells it. */
export interface AttemptEntry {
  attempted_at: string
  duration_ms: number
  response_status: number | null
  response_body: string
  error: string | null
}

/**
 * One event on its way to one webhook: the log of what was sent and, as long as it is pending, the queue. Its id is the
 * event's, which is what the receiver sees as `webhook-id`; of a ping, its own.
 */
export const webhookDeliveries = pgTable(
  'webhook_deliveries',
  {
    webhook_id: uuid().notNull(),
    id: uuid().notNull(),
    /** With the id, its place in the order of events. */
    transaction_id: bigint({ mode: 'bigint' }).notNull(),
    type: text().notNull(),
    request_id: text(),
    status: text().$type<'pending' | 'succeeded' | 'failed'>().notNull().default('pending'),
    next_attempt_at: momentColumn(),
    /** Attempts since it was last due from the start. */
    tries: smallint().notNull().default(0),
    /** The last ones, oldest first. */
    attempts: jsonb().$type<AttemptEntry[]>().notNull().default([]),
    created_at: createdAtColumn(),
  },
  table => [
    primaryKey({ name: 'webhook_deliveries_pkey', columns: [table.webhook_id, table.id] }),
    foreignKey({
      name: 'webhook_deliveries_webhook_id_fkey',
      columns: [table.webhook_id],
      foreignColumns: [webhooks.id],
    }).onDelete('cascade'),
    check('webhook_deliveries_status_check', sql`${table.status} in ('pending', 'succeeded', 'failed')`),
    index('webhook_deliveries_pending')
      .on(table.webhook_id, table.next_attempt_at, table.transaction_id, table.id)
      .where(sql`${table.status} = 'pending'`),
    index('webhook_deliveries_failed').on(table.webhook_id, table.id).where(sql`${table.status} = 'failed'`),
  ],
)
