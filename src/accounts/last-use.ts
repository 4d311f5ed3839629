import { sql } from 'drizzle-orm'
import type { Db } from '../db/types.ts'
import type { Principal } from '../lib/access.ts'

/** Finer than people look at, and coarse enough that a busy session costs a write a minute. */
const GRAIN_MS = 60_000

/** How long notes are gathered, so that many become one statement. */
const GATHER_MS = 2_000

/** Remembers when sessions and API keys were last used, without a write per request. */
export function createLastUse(db: Db) {
  const noted = new WeakMap<Principal, number>()
  const sessions = new Set<string>()
  const apiKeys = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()

  return {
    note(principal: Principal) {
      const now = Date.now()
      if (now - (noted.get(principal) ?? 0) < GRAIN_MS) return
      noted.set(principal, now)
      if (principal.session_id !== null) sessions.add(principal.session_id)
      if (principal.api_key_id !== null) apiKeys.add(principal.api_key_id)
      timer ??= setTimeout(write, GATHER_MS).unref()
    },
    /** Writes what is still to be written. */
    async end() {
      clearTimeout(timer)
      write()
      await writing
    },
  }

  function write() {
    timer = undefined
    const taken = { sessions: listOf(sessions), apiKeys: listOf(apiKeys) }
    // What cannot be written now is not worth keeping: the next use is noted again.
    writing = writeAll(taken).catch(() => {})
  }

  async function writeAll(ids: { sessions: string; apiKeys: string }) {
    if (ids.sessions) await touch(sql`sessions`, ids.sessions)
    if (ids.apiKeys) await touch(sql`api_keys`, ids.apiKeys)
  }

  function touch(table: ReturnType<typeof sql>, ids: string) {
    return db.execute(
      // In the order of their ids, so that two processes do not wait for each other in a circle.
      sql`
        update ${table} set last_used_at = now() where id in (
          select id from ${table} where id = any(string_to_array(${ids}, ',')::uuid[])
            and (last_used_at is null or last_used_at < now() - interval '30 s')
          order by id for update skip locked)`,
    )
  }
}

function listOf(ids: Set<string>): string {
  const list = [...ids].join()
  ids.clear()
  return list
}
