import { and, eq, gt, inArray, sql } from 'drizzle-orm'
import type { Db, Tx } from '../db/types.ts'
import { newOpaqueToken, sha256 } from '../lib/opaque.ts'
import { InvalidLink } from './problems.ts'
import { oneTimeLinks } from './tables.ts'

const HOURS = { verify_email: 24, change_email: 24, reset_password: 1 }

const AGAIN_AFTER_SECONDS = 60

export type Purpose = keyof typeof HOURS

/** The front-end's pages that links lead to. */
const PAGES = {
  verify_email: 'verify-email',
  change_email: 'verify-email',
  reset_password: 'reset-password',
} as const

interface Link {
  url: string
  expires_at: string
}

/** Makes a link that is good once; the one before for the same purpose is good no longer. */
export async function makeLink(
  tx: Tx,
  { APP_URL }: { APP_URL: string },
  purpose: Purpose,
  { id: user_id, email }: { id: string; email: string },
): Promise<Link> {
  const token = newOpaqueToken()
  const fresh = {
    token_hash: sha256(token),
    email,
    created_at: sql`now()`,
    expires_at: sql`now() + ${HOURS[purpose]} * interval '1 h'`,
  }
  const [link] = await tx
    .insert(oneTimeLinks)
    .values({ user_id, purpose, ...fresh })
    .onConflictDoUpdate({ target: [oneTimeLinks.user_id, oneTimeLinks.purpose], set: fresh })
    .returning({ expires_at: oneTimeLinks.expires_at })
  // In the fragment, which browsers send neither to a server nor on to the next page.
  const url = `${APP_URL}/${PAGES[purpose]}#token=${token}`
  return { url, expires_at: link?.expires_at.toISOString() ?? '' }
}

/** Whose link it is; it is not used up, and may be by the time that somebody does. */
export async function findLink(db: Db, token: string, purposes: Purpose[]) {
  const [link] = await db
    .select({ user_id: oneTimeLinks.user_id, purpose: oneTimeLinks.purpose, email: oneTimeLinks.email })
    .from(oneTimeLinks)
    .where(and(isLink(token), inArray(oneTimeLinks.purpose, purposes)))
  return link ?? notGood()
}

const isLink = (token: string) =>
  and(eq(oneTimeLinks.token_hash, sha256(token)), gt(oneTimeLinks.expires_at, sql`now()`))

function notGood(): never {
  throw new InvalidLink('The link is not, or no longer, good.')
}

/** Uses a link up, once its user is locked. Of two who hold the same, one gets it. */
export async function useLink(tx: Tx, token: string): Promise<void> {
  const used = await tx.delete(oneTimeLinks).where(isLink(token)).returning({ id: oneTimeLinks.user_id })
  if (used.length === 0) notGood()
}

/** Whether a link was sent a moment ago: who asks again at once would fill somebody's mailbox. */
export async function wasJustSent(tx: Tx, user_id: string, purpose: Purpose): Promise<boolean> {
  const [link] = await tx
    .select({ user_id: oneTimeLinks.user_id })
    .from(oneTimeLinks)
    .where(
      and(
        eq(oneTimeLinks.user_id, user_id),
        eq(oneTimeLinks.purpose, purpose),
        gt(oneTimeLinks.created_at, sql`now() - ${AGAIN_AFTER_SECONDS} * interval '1 s'`),
      ),
    )
  return link !== undefined
}

/** Links that were sent before something changed that they relied on; all of them, or those for these purposes. */
export const dropLinks = (tx: Tx, user_id: string, purposes?: Purpose[]) =>
  tx
    .delete(oneTimeLinks)
    .where(and(eq(oneTimeLinks.user_id, user_id), purposes && inArray(oneTimeLinks.purpose, purposes)))
