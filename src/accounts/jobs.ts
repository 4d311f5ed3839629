import { Type } from '@sinclair/typebox'
import { and, eq, isNull, lt, sql } from 'drizzle-orm'
import { inTransaction } from '../db/transaction.ts'
import { purgeDeleted } from '../events/recorded-purge.ts'
import { defineJob, PermanentFailure } from '../jobs/job.ts'
import { createVault } from '../lib/vault.ts'
import { secretsOf } from '../lib/vault-keys.ts'
import { createMailer } from '../mail/mailer.ts'
import { resetPasswordMail } from '../mail/templates/reset-password.ts'
import { userPurged } from './events.ts'
import { makeLink } from './links.ts'
import { MEMORY_HOURS } from './lockout.ts'
import { circumstances } from './notices.ts'
import { devices, loginFailures, oneTimeLinks, sessions, users } from './tables.ts'

/** Some networks and programs are seen once and never again. */
const DEVICE_DAYS = 180

/** In one transaction: a user takes all that is theirs along. */
const AT_ONCE = 20

const nothing = Type.Object({}, { additionalProperties: false })

export const sendResetLink = defineJob({
  name: 'accounts.send-reset-link',
  summary: 'Sends the link that resets a password, if there is such an account',
  payload: Type.Object({ sealed: Type.String() }, { additionalProperties: false }),
  concurrency: 4,
  async run({ sealed }, { config, database, actor }) {
    const email = readEmail(() => createVault(secretsOf(config), 'accounts').open(sealed))
    const mailer = createMailer(config)
    await inTransaction(database.db, async tx => {
      const [user] = await tx
        .select({ id: users.id, email: users.email, first_name: users.first_name })
        .from(users)
        .where(and(eq(users.email, email), eq(users.is_active, true), isNull(users.deleted_at)))
      if (user === undefined) return
      const link = await makeLink(tx, config, 'reset_password', user)
      const data = { first_name: user.first_name, ...link, ...circumstances(actor) }
      await mailer.send(tx, actor, resetPasswordMail, { to: user.email, data })
    })
  },
})

function readEmail(open: () => string): string {
  try {
    return (JSON.parse(open()) as { reset: string }).reset
  } catch {
    throw new PermanentFailure('What was sealed cannot be read any more.')
  }
}

export const expireAccounts = defineJob({
  name: 'accounts.expire',
  summary: 'Removes sessions, links, failures and devices whose time is over',
  payload: nothing,
  schedule: '23 * * * *',
  async run(_payload, { database: { db } }) {
    const ago = (amount: number, unit: 'h' | 'd') => sql`now() - ${amount} * ${`1 ${unit}`}::interval`
    await db.delete(sessions).where(lt(sessions.expires_at, sql`now()`))
    await db.delete(oneTimeLinks).where(lt(oneTimeLinks.expires_at, sql`now()`))
    await db.delete(loginFailures).where(lt(loginFailures.last_failed_at, ago(2 * MEMORY_HOURS, 'h')))
    await db.delete(devices).where(lt(devices.last_seen_at, ago(DEVICE_DAYS, 'd')))
  },
})

export const purgeUsers = defineJob({
  name: 'accounts.purge',
  summary: 'Removes users for good, with all that is theirs, PURGE_AFTER_DAYS after they were deleted',
  payload: nothing,
  schedule: '37 3 * * *',
  lease_seconds: 120,
  run: (_payload, { config: { PURGE_AFTER_DAYS: days }, database: { db }, actor, signal }) =>
    purgeDeleted(db, actor, {
      table: users,
      owner: users.id,
      type: userPurged,
      days,
      at_once: AT_ONCE,
      signal,
    }),
})
