import type { Db } from '../../db/types.ts'
import { listEvents } from '../audit/public.ts'
import { listKeyIds } from './queries.ts'

type Event = Awaited<ReturnType<typeof listEvents>>[number]

/** What happened to a user's own, newest first. */
export async function listActivity(
  db: Db,
  user_id: string,
  page: { before: string | undefined; limit: number },
): Promise<Event[]> {
  const [events, keys] = await Promise.all([
    listEvents(db, { owner_id: user_id }, page),
    listKeyIds(db, user_id),
  ])
  return events.map(event => (isOfOthers(event, user_id, keys) ? withoutPlace(event) : event))
}

/** A stranger who tried to get in is nobody's secret; another user, or a job on behalf of one, is. */
function isOfOthers({ actor }: Event, user_id: string, keys: string[]): boolean {
  if (actor.type === 'anonymous') return false
  return actor.id === null || ![user_id, ...keys].includes(actor.id)
}

const withoutPlace = (event: Event): Event => ({ ...event, ip: null, user_agent: null })
