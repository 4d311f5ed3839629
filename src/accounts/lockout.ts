import { eq, sql } from 'drizzle-orm'
import { firstRow } from '../db/rows.ts'
import type { Db, Tx } from '../db/types.ts'
import { sha256 } from '../lib/opaque.ts'
import { AccountLocked } from './problems.ts'
import { loginFailures } from './tables.ts'

/** So many failures within the window lock. */
export const FAILURES = 10
const WINDOW_MINUTES = 15

/** The first lock; each further one is twice as long, up to a day. */
const FIRST_LOCK_SECONDS = 60
const LONGEST_LOCK_SECONDS = 86_400

/** After a day without a failure, all is forgotten. */
export const MEMORY_HOURS = 24

export const emailHash = (email: string): Buffer => sha256(email)

/** Throws while no password or code is accepted for this e-mail. */
export async function refuseLocked(db: Db, email: string): Promise<void> {
  const [row] = await db
    .select({ seconds: secondsLeft })
    .from(loginFailures)
    .where(eq(loginFailures.email_hash, emailHash(email)))
  throwLocked(row?.seconds)
}

const secondsLeft = sql<
  number | null
>`ceil(extract(epoch from ${loginFailures.locked_until} - now()))::float8`

export function throwLocked(seconds: number | null | undefined) {
  if (!seconds || seconds <= 0) return
  throw new AccountLocked('Too many attempts. Wait, or reset the password.', {
    headers: { 'retry-after': String(seconds) },
  })
}

/** What a failure has led to. */
export interface Failure {
  /** Set when it was this failure that locked. */
  locked_until: Date | null
  /** Left of a lock that was there before. */
  seconds: number | null
}

/**
 * Counts a failure, and locks when it is one too many. While it is locked nothing is counted, so that a burst of parallel
 * attempts locks once, for the first wait.
 */
export async function countFailure(tx: Tx, email: string): Promise<Failure> {
  const key = emailHash(email)
  const row = await firstRow<{ recent: number; locks: number; seconds: number | null }>(
    tx,
    sql`
      insert into login_failures as f (email_hash, failed_at) values (${key}, array[now()])
      on conflict (email_hash) do update set
        last_failed_at = now(),
        locks = case when f.last_failed_at < now() - ${MEMORY_HOURS} * interval '1 h' then 0 else f.locks end,
        failed_at = case when f.locked_until > now() then f.failed_at
          else (f.failed_at || now())[greatest(1, cardinality(f.failed_at) + 2 - ${FAILURES}):] end
      returning locks, ceil(extract(epoch from nullif(greatest(locked_until, now()), now()) - now()))::float8 as seconds, (
        select count(*)::int from unnest(failed_at) as at where at > now() - ${WINDOW_MINUTES} * interval '1 min'
      ) as recent`,
  )
  if (row === undefined || row.seconds !== null || row.recent < FAILURES) {
    return { locked_until: null, seconds: row?.seconds ?? null }
  }
  // The row is locked by the statement above until we commit.
  const wait = Math.min(FIRST_LOCK_SECONDS * 2 ** row.locks, LONGEST_LOCK_SECONDS)
  const [lock] = await tx
    .update(loginFailures)
    .set({ locks: row.locks + 1, locked_until: sql`now() + ${wait} * interval '1 s'` })
    .where(eq(loginFailures.email_hash, key))
    .returning({ locked_until: loginFailures.locked_until })
  return { locked_until: lock?.locked_until ?? null, seconds: null }
}

/**
 * Has everybody else who tries this e-mail wait until the transaction ends, so that of many codes at once each is counted
 * before the next is looked at. Returns the seconds that are left of a lock. What is changed later in the transaction is
 * users and links, in this order, wherever more than one of them is.
 */
export async function holdAttempts(tx: Tx, email: string): Promise<number | null> {
  const fresh = { email_hash: emailHash(email), failed_at: [], last_failed_at: sql`now()` }
  const [row] = await tx
    .insert(loginFailures)
    .values(fresh)
    .onConflictDoUpdate({ target: loginFailures.email_hash, set: { email_hash: fresh.email_hash } })
    .returning({ seconds: secondsLeft })
  return row?.seconds ?? null
}

/** Forgets the failures of an e-mail, unless it was locked meanwhile: then even what is right is refused. */
export async function passLock(tx: Tx, email: string): Promise<void> {
  const [row] = await tx
    .delete(loginFailures)
    .where(eq(loginFailures.email_hash, emailHash(email)))
    .returning({ seconds: secondsLeft })
  throwLocked(row?.seconds)
}

/** Whoever can read the mail of the account may try again at once. */
export const unlock = (tx: Tx, email: string) =>
  tx.delete(loginFailures).where(eq(loginFailures.email_hash, emailHash(email)))
