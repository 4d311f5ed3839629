import { asc, eq, sql } from 'drizzle-orm'
import type { Test } from 'tap'
import type { App } from '../../../src/app.ts'
import { firstRow } from '../../../src/db/rows.ts'
import type { Webhook, WebhookDelivery } from '../../../src/domains/webhooks/schemas.ts'
import { vaultOf } from '../../../src/domains/webhooks/secrets.ts'
import { webhookDeliveries, webhooks } from '../../../src/domains/webhooks/tables.ts'
import { events } from '../../../src/events/tables.ts'
import { newId } from '../../../src/lib/id.ts'
import { build } from '../../helper.ts'
import { resolveForTests } from './targets.ts'

export type Headers = Record<string, string>
export type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

export const path = '/api/v1/webhooks'
export const TARGET = 'https://public.example/hooks/1'

/** The service, for which a few names can be looked up and no others. */
export const open = (t: Test, options: Parameters<typeof build>[1] = {}) =>
  build(t, { resolve: resolveForTests, ...options })

export const send = (app: App, method: Method, url: string, headers: Headers, payload?: object) =>
  app.inject({ method, url: `${path}${url}`, headers, ...(payload && { payload }) })

/** As clients see it. */
type Shown<T> = { [Field in keyof T]: Date extends T[Field] ? string | null : T[Field] }
export type AWebhook = Shown<Webhook> & { secret: string }

/** A webhook that its owner has just made. */
export async function aWebhook(app: App, headers: Headers, fields: object = {}) {
  const answer = await send(app, 'POST', '', headers, { url: TARGET, ...fields })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return { webhook: answer.json() as AWebhook, etag: String(answer.headers.etag), answer }
}

/** What was recorded about a webhook, oldest first. */
export const eventsAbout = ({ database: { db } }: App, subject_id: string) =>
  db.select().from(events).where(eq(events.subject_id, subject_id)).orderBy(asc(events.id))

export const eventTypes = async (app: App, subject_id: string) =>
  (await eventsAbout(app, subject_id)).map(({ type }) => type)

/** The row of a webhook, and its secrets unsealed. */
export async function rowOf({ database: { db }, accounts: { config } }: App, id: string) {
  const [row] = await db.select().from(webhooks).where(eq(webhooks.id, id))
  if (row === undefined) throw new Error('There is no such webhook.')
  const open = (sealed: string | null) => sealed && vaultOf(config).open(sealed)
  return { ...row, unsealed: [open(row.secret), open(row.previous_secret)] }
}

type Delivery = typeof webhookDeliveries.$inferInsert

/** Deliveries as whoever sends them leaves them, oldest first. */
export async function withDeliveries(
  { database: { db } }: App,
  webhook_id: string,
  statuses: readonly WebhookDelivery['status'][],
  fields: Partial<Delivery> = {},
): Promise<string[]> {
  const rows = statuses.map(status => ({
    ...{ webhook_id, id: newId(), transaction_id: 1n, type: 'item.created', status, ...fields },
    ...(status === 'pending' && { next_attempt_at: new Date() }),
  }))
  await db.insert(webhookDeliveries).values(rows)
  return rows.map(({ id }) => id)
}

export const deliveriesOf = ({ database: { db } }: App, webhook_id: string) =>
  db
    .select()
    .from(webhookDeliveries)
    .where(eq(webhookDeliveries.webhook_id, webhook_id))
    .orderBy(asc(webhookDeliveries.id))

/** All that the database holds in these tables, as whoever steals it would see it. */
export async function stored({ database: { db } }: App, tables: readonly string[]): Promise<string> {
  const texts = tables.map(table =>
    firstRow<{ text: string }>(
      db,
      sql`select coalesce(string_agg(t::text, ' '), '') as text from ${sql.identifier(table)} as t`,
    ),
  )
  return (await Promise.all(texts)).map(row => row?.text).join(' ')
}

export function counted(answers: { statusCode: number }[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { statusCode } of answers) counts[statusCode] = (counts[statusCode] ?? 0) + 1
  return counts
}
