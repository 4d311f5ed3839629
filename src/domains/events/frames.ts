import { inArray, sql } from 'drizzle-orm'
import { PLACE_IS_OWN } from '../../accounts/own-events.ts'
import type { Db } from '../../db/types.ts'
import type { EventKey, Position } from '../../events/read.ts'
import { eventColumns } from '../../events/schemas.ts'
import { events } from '../../events/tables.ts'
import { positionToken } from './resuming.ts'

/** An event as it goes over the wire, made once for however many clients. */
export interface Frames {
  /** As the owner may see it. */
  own(): Buffer
  /** As administrators see it. */
  whole(): Buffer
}

/** Of events that may have a megabyte each, so few are read at a time; others have a few hundred bytes. */
const MOST_BYTES = 128 * 1024
const MOST_EVENTS = 200

/** Cuts keys into runs whose contents can be in memory at once. */
export function* runsOf(keys: readonly EventKey[]): Generator<EventKey[]> {
  let run: EventKey[] = []
  let bytes = 0
  for (const key of keys) {
    if (run.length > 0 && (bytes + key.size > MOST_BYTES || run.length === MOST_EVENTS)) {
      yield run
      run = []
      bytes = 0
    }
    run.push(key)
    bytes += key.size
  }
  if (run.length > 0) yield run
}

/** The events by id; those that were dropped meanwhile are missing. */
export async function readFrames(db: Db, keys: readonly EventKey[]): Promise<Map<string, Frames>> {
  if (keys.length === 0) return new Map()
  const ids = keys.map(({ id }) => id)
  const rows = await db.select(columns).from(events).where(inArray(events.id, ids))
  return new Map(rows.map(row => [row.id, framesOf(row)]))
}

const columns = { ...eventColumns, place_is_own: sql<boolean>`${sql.raw(PLACE_IS_OWN)}` }

interface Told {
  id: string
  type: string
  ip: string | null
  user_agent: string | null
}

function framesOf({ place_is_own, ...event }: Told & { place_is_own: boolean }): Frames {
  const whole = lazily(() => frameOf(event))
  const hidden = lazily(() => frameOf({ ...event, ip: null, user_agent: null }))
  return { whole, own: place_is_own ? whole : hidden }
}

/** JSON has no line breaks of its own, so it is one line of data. */
const frameOf = (event: Told) =>
  Buffer.from(`event: ${event.type}\nid: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`)

function lazily<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

/** Whoever is cut off comes back after this, and not all at once. */
const RETRY_MS = [1_000, 3_000] as const

/** The first thing that a client hears: when to come back, and where it is before its first event. */
export function opening(position: Position): string {
  const [least, most] = RETRY_MS
  const retry = Math.round(least + Math.random() * (most - least))
  return `retry: ${retry}\nid: ${positionToken(position)}\n\n`
}

/** A comment for the proxies, and where the client is by now, although it has had no event for long. */
export const heartbeat = (position: Position): string => `:\nid: ${positionToken(position)}\n\n`
