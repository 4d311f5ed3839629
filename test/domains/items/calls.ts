import { asc, eq } from 'drizzle-orm'
import type { App } from '../../../src/app.ts'
import { events } from '../../../src/events/tables.ts'

export type Headers = Record<string, string>
export type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

export const path = '/api/v1/items'

export const send = (app: App, method: Method, url: string, headers: Headers, payload?: object) =>
  app.inject({ method, url: `${path}${url}`, headers, ...(payload && { payload }) })

export interface AnItem {
  id: string
  user_id: string
  title: string
  description: string | null
  status: string
  price: string
  metadata: Record<string, unknown>
  version: number
  created_at: string
  updated_at: string
}

/** An item that its owner has just made. */
export async function anItem(app: App, headers: Headers, fields: object = {}): Promise<AnItem> {
  const answer = await send(app, 'POST', '', headers, { title: 'Lamp', ...fields })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json()
}

export const etagOf = ({ id, version }: { id: string; version: number }) => `"${id}-${version}"`

/** What was recorded about an item, oldest first. */
export const eventsAbout = ({ database: { db } }: App, subject_id: string) =>
  db.select().from(events).where(eq(events.subject_id, subject_id)).orderBy(asc(events.id))

/** What was recorded of what somebody owns, oldest first. */
export const eventsOf = ({ database: { db } }: App, owner_id: string) =>
  db.select().from(events).where(eq(events.owner_id, owner_id)).orderBy(asc(events.id))

/** How many answers there are of each status. */
export function counted(answers: { statusCode: number }[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { statusCode } of answers) counts[statusCode] = (counts[statusCode] ?? 0) + 1
  return counts
}

/** Each way to change an item, and what is sent on it. */
export const writes = [
  ['PATCH', '', { title: 'Eve' }],
  ['PUT', '', { title: 'Eve' }],
  ['POST', '/publish'],
  ['POST', '/archive'],
  ['POST', '/restore'],
  ['DELETE', ''],
] as const
