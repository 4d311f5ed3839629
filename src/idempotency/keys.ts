import { executePrepared } from '../db/raw.ts'
import type { Db } from '../db/types.ts'

/** One request that runs under a key. */
export interface Claim {
  /** Of the caller and the key. */
  id: Buffer
  /** Of the request. */
  fingerprint: Buffer
  /** Drawn at random for this run: only who still holds the key can commit under it. */
  holder: string
}

/** What has become of a claim: it is ours, or why it is not. */
export type Claimed = 'ours' | 'running' | 'mismatch' | { answer: string }

export const LEASE_SECONDS = 30

const KEPT_HOURS = 24

/** A row that was there when it was claimed may be gone when it is looked at, if its request failed meanwhile. */
const ATTEMPTS = 5

const lease = `now() + interval '${LEASE_SECONDS} s'`

/** A statement of its own, so that everybody else sees at once that the request runs. */
export async function claim(db: Db, { id, fingerprint, holder }: Claim): Promise<Claimed> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const [ours] = await executePrepared(db, CLAIM, [id, fingerprint, holder])
    if (ours !== undefined) return 'ours'
    const [row] = await executePrepared(db, LOOK, [id, fingerprint])
    if (row === undefined) continue
    if (row.same !== true) return 'mismatch'
    return typeof row.answer === 'string' ? { answer: row.answer } : 'running'
  }
  return 'running'
}

/** Takes over what is past its time, and the same request where its holder has died. */
const CLAIM = `
  insert into idempotency_keys as k (id, fingerprint, holder, held_until, expires_at)
  values ($1, $2, $3, ${lease}, now() + interval '${KEPT_HOURS} h')
  on conflict (id) do update set
    fingerprint = excluded.fingerprint, holder = excluded.holder, held_until = excluded.held_until,
    answer = null, created_at = now(), expires_at = excluded.expires_at
  where (k.answer is not null or k.held_until <= now())
    and (k.expires_at <= now() or (k.answer is null and k.fingerprint = excluded.fingerprint))
  returning true as ours`

const LOOK = `select answer, fingerprint = $2 as same from idempotency_keys where id = $1`

/** Says that the request still runs. */
export const renew = (db: Db, { id, holder }: Claim) => executePrepared(db, RENEW, [id, holder])

const RENEW = `update idempotency_keys set held_until = ${lease} where id = $1 and holder = $2`

/** Keeps the answer. False if somebody else has taken the key over, and what was done must not be committed. */
export async function keep(db: Db, { id, holder }: Claim, answer: string): Promise<boolean> {
  return (await executePrepared(db, KEEP, [id, holder, answer])).length === 1
}

const KEEP = `
  update idempotency_keys set answer = $3 where id = $1 and holder = $2 and answer is null returning true as kept`

/** Has the key stand for nothing again. False as above. */
export async function release(db: Db, { id, holder }: Claim): Promise<boolean> {
  return (await executePrepared(db, RELEASE, [id, holder])).length === 1
}

const RELEASE = `
  delete from idempotency_keys where id = $1 and holder = $2 and answer is null returning true as released`

/** Removes some of those that are past their time; returns how many. */
export async function removeExpired(db: Db, limit: number): Promise<number> {
  return (await executePrepared(db, REMOVE_EXPIRED, [limit])).length
}

const REMOVE_EXPIRED = `
  delete from idempotency_keys where id in (
    select id from idempotency_keys where expires_at <= now() and held_until <= now()
    order by expires_at limit $1 for update skip locked
  ) returning true as removed`
