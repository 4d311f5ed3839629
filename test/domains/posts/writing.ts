import { asc, eq } from 'drizzle-orm'
import type { App } from '../../../src/app.ts'
import { events } from '../../../src/events/tables.ts'
import { aUser } from '../../helper.ts'

export const path = '/api/v1/posts'

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
export type Headers = Record<string, string>

export const send = (app: App, method: Method, url: string, headers: Headers = {}, payload?: object) =>
  app.inject({ method, url, headers, ...(payload && { payload }) })

/** What somebody has written, by default somebody new. */
export async function aPost(app: App, headers?: Headers, fields: object = {}) {
  const author = headers ?? (await aUser(app)).headers
  const payload = { title: 'On lamps', content: 'They give light.', ...fields }
  const answer = await send(app, 'POST', path, author, payload)
  if (answer.statusCode !== 201) throw new Error(answer.body)
  const post = answer.json()
  return { post, url: `${path}/${post.id}`, etag: String(answer.headers.etag), headers: author }
}

/** What was recorded of a post, or of anything else, oldest first. */
export const eventsOf = ({ database: { db } }: App, subject_id: string) =>
  db.select().from(events).where(eq(events.subject_id, subject_id)).orderBy(asc(events.id))

export async function eventTypes(app: App, subject_id: string): Promise<string[]> {
  return (await eventsOf(app, subject_id)).map(({ type }) => type)
}
