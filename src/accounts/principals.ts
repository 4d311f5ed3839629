import { setTimeout as sleep } from 'node:timers/promises'
import { announce, FRESH_MS } from '../db/announcements.ts'
import { executePrepared } from '../db/raw.ts'
import { afterCommit } from '../db/transaction.ts'
import type { Database, Following, Tx } from '../db/types.ts'
import type { Principal } from '../lib/access.ts'
import { sha256 } from '../lib/opaque.ts'
import { isApiKey } from './api-key-format.ts'
import { createLastUse } from './last-use.ts'

/**
 * Who a session or an API key stands for. Known ones are kept in memory, so that most requests ask the database nothing;
 * a transaction that changes or ends what they stand for calls `forget`, and every process drops them.
 */
export interface Principals {
  ofSession(session_id: string): Found
  ofApiKey(key: string): Found
  /** Drops all that is known of a user, here and in every other process, once the transaction is committed. */
  forget(tx: Tx, user_id: string): Promise<void>
  /** Resolves when whoever has not heard of what was announced until now knows that he may not have. */
  heardEverywhere(): Promise<void>
  end(): Promise<void>
}

/** At once when it is known; a promise when it has to be looked up. */
type Found = Principal | undefined | Promise<Principal | undefined>

interface Known {
  principal: Principal
  /** When it ends by itself. */
  expires_at: number
}

const CHANNEL = 'principals'

/** About 20 MB; the oldest go first. */
const MOST_KNOWN = 50_000

export function createPrincipals(database: Database): Principals {
  const known = new Map<string, Known>()
  const keysOf = new Map<string, Set<string>>()
  const lookUps = new Map<string, Promise<Principal | undefined>>()
  const lastUse = createLastUse(database.db)
  let following: Following | undefined
  /** How often something was dropped: what was looked up meanwhile may be from before. */
  let drops = 0

  return {
    ofSession: session_id => find(session_id, () => lookUpSession(session_id)),
    ofApiKey(key) {
      if (!isApiKey(key)) return undefined
      const hash = sha256(key)
      return find(hash.toString('base64'), () => lookUpApiKey(hash))
    },
    async forget(tx, user_id) {
      await announce(tx, CHANNEL, user_id)
      // Whoever asked for the change may send the next request before the announcement comes back.
      afterCommit(tx, () => drop(user_id))
    },
    heardEverywhere: () => (database.kind === 'embedded' ? Promise.resolve() : sleep(FRESH_MS)),
    async end() {
      await following?.end()
      await lastUse.end()
    },
  }

  function find(key: string, lookUp: () => Promise<Known | undefined>): Found {
    following ??= database.follow(CHANNEL, { heard: drop, missed: dropAll })
    // What was revoked may not have been heard here, so neither what is known nor what others look up will do.
    if (!following.isCurrent()) return look(key, lookUp)
    const entry = known.get(key)
    if (entry === undefined || entry.expires_at <= Date.now()) {
      if (entry !== undefined) remove(key, entry)
      // An end may have been put off since: each refresh does that for its session.
      return lookUpOnce(key, lookUp)
    }
    lastUse.note(entry.principal)
    return entry.principal
  }

  /** A page that sends ten requests at once needs one look-up. */
  function lookUpOnce(key: string, lookUp: () => Promise<Known | undefined>) {
    // Only of those that began after the last drop, or the answer may be one that has just been revoked.
    const shared = `${key} ${drops}`
    let running = lookUps.get(shared)
    if (running === undefined) {
      running = look(key, lookUp).finally(() => lookUps.delete(shared))
      lookUps.set(shared, running)
    }
    return running
  }

  async function look(key: string, lookUp: () => Promise<Known | undefined>) {
    const before = drops
    const found = await lookUp()
    if (found === undefined) return undefined
    if (before === drops && following?.isCurrent()) keep(key, found)
    lastUse.note(found.principal)
    return found.principal
  }

  function keep(key: string, entry: Known) {
    if (known.size >= MOST_KNOWN) removeOldest()
    known.set(key, entry)
    const keys = keysOf.get(entry.principal.id)
    if (keys === undefined) keysOf.set(entry.principal.id, new Set([key]))
    else keys.add(key)
  }

  function removeOldest() {
    const [oldest] = known
    if (oldest !== undefined) remove(...oldest)
  }

  function remove(key: string, { principal }: Known) {
    known.delete(key)
    const keys = keysOf.get(principal.id)
    keys?.delete(key)
    if (keys?.size === 0) keysOf.delete(principal.id)
  }

  function drop(user_id: string) {
    drops++
    for (const key of keysOf.get(user_id) ?? []) known.delete(key)
    keysOf.delete(user_id)
  }

  function dropAll() {
    drops++
    known.clear()
    keysOf.clear()
  }

  async function lookUpSession(session_id: string): Promise<Known | undefined> {
    const [row] = await executePrepared(database.db, SESSION, [session_id])
    return row && knownOf(row as unknown as Row)
  }

  async function lookUpApiKey(hash: Buffer): Promise<Known | undefined> {
    const [row] = await executePrepared(database.db, API_KEY, [hash])
    return row && knownOf(row as unknown as Row)
  }
}

type Row = Omit<Principal, 'scopes'> & { scopes: string | null; expires_in: number | null }

function knownOf({ expires_in, scopes, ...row }: Row): Known {
  const principal = { ...row, scopes: scopes === null ? null : scopes.split(',') } as Principal
  // By the clock of the database, which is the same for all processes.
  return { principal, expires_at: expires_in === null ? Infinity : Date.now() + expires_in * 1000 }
}

/** What both statements read of the user, who must be there and active. */
const USER = `u.id, u.tier, u.email_verified`
const ACTIVE = `u.is_active and u.deleted_at is null`

const SESSION = `
  select ${USER}, u.role, s.id as session_id, null as api_key_id, null as scopes,
    extract(epoch from s.expires_at - now())::float8 as expires_in
  from sessions s join users u on u.id = s.user_id
  where s.id = $1 and s.expires_at > now() and ${ACTIVE}`

/**
 * The key of an administrator is that of a user: it never reaches what is for administrators, not even by the way.
 * Also the key before a rotation, while it overlaps; the earlier of both ends counts.
 */
const API_KEY = `
  select ${USER}, case u.role when 'admin' then 'user' else u.role end as role,
    null as session_id, k.id as api_key_id, array_to_string(k.scopes, ',') as scopes,
    extract(epoch from least(k.expires_at, case when k.key_hash = $1 then null else k.previous_expires_at end)
      - now())::float8 as expires_in
  from api_keys k join users u on u.id = k.user_id
  where (k.key_hash = $1 or (k.previous_hash = $1 and k.previous_expires_at > now()))
    and (k.expires_at is null or k.expires_at > now()) and ${ACTIVE}`
