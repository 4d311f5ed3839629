import { and, eq, gt, inArray, sql } from 'drizzle-orm'
import type { Tx } from '../db/types.ts'
import { newOpaqueToken, sha256 } from '../lib/opaque.ts'
import { InvalidLink } from './problems.ts'
import { oneTimeLinks } from './tables.ts'

const HOURS = { verify_email: 24, change_email: 24, reset_password: 1 }

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

/** Uses a link up. Of two who hold the same, one gets it. */
export async function useLink(tx: Tx, token: string, purposes: Purpose[]) {
  const [link] = await tx
    .delete(oneTimeLinks)
    .where(
      and(
        eq(oneTimeLinks.token_hash, sha256(token)),
        inArray(oneTimeLinks.purpose, purposes),
        gt(oneTimeLinks.expires_at, sql`now()`),
      ),
    )
    .returning({
      user_id: oneTimeLinks.user_id,
      purpose: oneTimeLinks.purpose,
      email: oneTimeLinks.email,
    })
  if (link === undefined) throw new InvalidLink('The link is not, or no longer, good.')
  return link
}

/** Links that were sent before something changed that they relied on. */
export const dropLinks = (tx: Tx, user_id: string) =>
  tx.delete(oneTimeLinks).where(eq(oneTimeLinks.user_id, user_id))
