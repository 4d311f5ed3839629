import type { App } from '../../../src/app.ts'
import { aUser } from '../../helper.ts'

/** Argon2 at its cheapest, where its cost is not what a test is about. */
export const CHEAP = { ARGON2_MEMORY_COST: '8192', ARGON2_TIME_COST: '1' }

let count = 0

/** What somebody new registers with: nobody else's address, so that tests can share a database. */
export const newcomer = () => ({
  email: `ada.${process.pid}.${++count}@example.com`,
  password: 'correct horse',
  first_name: 'Ada',
  last_name: 'Lovelace',
})

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

export const post = (app: App, path: string, payload?: object, headers: Record<string, string> = {}) =>
  app.inject({ method: 'POST', url: `/api/v1${path}`, ...(payload && { payload }), headers })

export async function registered(app: App, fields: object = {}) {
  const person = { ...newcomer(), ...fields }
  const answer = await post(app, '/auth/register', person)
  if (answer.statusCode !== 201) throw new Error(answer.body)
  const { access_token, refresh_token, user } = answer.json()
  return { ...person, access_token, refresh_token, user, headers: bearer(access_token) }
}

/** Types of the events about a user, oldest first. */
export async function eventsOf(app: App, owner_id: string): Promise<string[]> {
  const { headers } = await aUser(app, 'admin')
  const answer = await app.inject({ url: `/api/v1/audit?owner_id=${owner_id}&per_page=100`, headers })
  return answer
    .json()
    .data.map((event: { type: string }) => event.type)
    .reverse()
}
