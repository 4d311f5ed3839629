import { and, eq } from 'drizzle-orm'
import type { Accounts } from '../../accounts/accounts.ts'
import { type Confirmation, demandPassword, demandStillConfirmed } from '../../accounts/checks.ts'
import { circumstances } from '../../accounts/notices.ts'
import { MfaInvalid } from '../../accounts/problems.ts'
import { newRecoveryCodes } from '../../accounts/recovery-codes.ts'
import type { User } from '../../accounts/schemas.ts'
import { recoveryCodes, users } from '../../accounts/tables.ts'
import { lockUser, nextVersion } from '../../accounts/users.ts'
import { inOneStatement, inTransaction } from '../../db/transaction.ts'
import type { Tx } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import type { Actor } from '../../lib/actor.ts'
import { sha256 } from '../../lib/opaque.ts'
import { Conflict } from '../../lib/problems.ts'
import { qrSvg } from '../../lib/qr.ts'
import { newTotpSecret, totpUri } from '../../lib/totp.ts'
import { mfaChangedMail } from '../../mail/templates/mfa-changed.ts'
import { useTotp } from './codes.ts'
import { mfaDisabled, mfaEnabled, mfaRecoveryCodesReplaced } from './mfa-events.ts'
import type { TotpEnrolment } from './mfa-schemas.ts'

/** A secret in place of the one that waited before. No event: until its first code comes, it changes nothing. */
export async function enrolTotp(accounts: Accounts, user_id: string): Promise<TotpEnrolment> {
  const { config, database, vault } = accounts
  const secret = newTotpSecret()
  const [user] = await inOneStatement(database.db, inner =>
    inner
      .update(users)
      .set({ totp_secret: vault.seal(secret) })
      .where(and(eq(users.id, user_id), eq(users.mfa_enabled, false)))
      .returning({ email: users.email }),
  )
  if (user === undefined) throw enabledAlready()
  // By the address that users know the service by: an authenticator holds many, and several may be made with Plinth.
  const issuer = new URL(config.APP_URL).host
  const otpauth_uri = totpUri({ secret, account: user.email, issuer })
  return { secret, otpauth_uri, qr_svg: qrSvg(otpauth_uri) }
}

const enabledAlready = () => new Conflict('MFA is enabled already; disable it first.')

/** Asks for codes from the next sign-in on. The other sessions stay: they lack nothing that this one has shown. */
export async function confirmTotp(
  accounts: Accounts,
  actor: Actor,
  user_id: string,
  code: string,
): Promise<string[]> {
  return inTransaction(accounts.database.db, async tx => {
    const before = await lockUser(tx, user_id)
    const waiting = { id: user_id, totp_secret: await waitingSecret(tx, before) }
    // Guesses are not counted: whoever may guess here may as well ask for a secret and know its codes.
    const right = await useTotp(tx, accounts, waiting, code.replace(/\s/g, ''))
    if (!right) throw new MfaInvalid('The code is not right.')
    const codes = await makeRecoveryCodes(tx, user_id)
    await tx
      .update(users)
      .set({ mfa_enabled: true, ...nextVersion })
      .where(eq(users.id, user_id))
    const facts = { subject_id: user_id, owner_id: user_id, before, after: { mfa_enabled: true } }
    await record(tx, actor, mfaEnabled, facts)
    await tell(tx, accounts, actor, before, 'enabled')
    return codes
  })
}

async function waitingSecret(tx: Tx, { id, mfa_enabled }: User): Promise<string> {
  if (mfa_enabled) throw enabledAlready()
  const [user] = await tx.select({ totp_secret: users.totp_secret }).from(users).where(eq(users.id, id))
  if (user?.totp_secret == null) throw new Conflict('There is no secret to confirm; ask for one first.')
  return user.totp_secret
}

export async function disableMfa(
  accounts: Accounts,
  actor: Actor,
  user_id: string,
  password: string,
): Promise<void> {
  const confirmation = await demandPassword(accounts, actor, user_id, password)
  await removeMfa(accounts, actor, user_id, confirmation)
}

/** Without a confirmation for operators, to whom somebody turns who has lost the telephone and the codes. */
export async function removeMfa(
  accounts: Accounts,
  actor: Actor,
  user_id: string,
  confirmation?: Confirmation,
): Promise<void> {
  await inTransaction(accounts.database.db, async tx => {
    const before = await lockEnrolled(tx, user_id)
    if (confirmation !== undefined) await demandStillConfirmed(tx, confirmation)
    await tx
      .update(users)
      .set({ mfa_enabled: false, totp_secret: null, totp_last_step: null, ...nextVersion })
      .where(eq(users.id, user_id))
    await dropRecoveryCodes(tx, user_id)
    const facts = { subject_id: user_id, owner_id: user_id, before, after: { mfa_enabled: false } }
    await record(tx, actor, mfaDisabled, facts)
    await tell(tx, accounts, actor, before, 'disabled')
  })
}

export async function replaceRecoveryCodes(
  accounts: Accounts,
  actor: Actor,
  user_id: string,
  password: string,
): Promise<string[]> {
  const confirmation = await demandPassword(accounts, actor, user_id, password)
  return inTransaction(accounts.database.db, async tx => {
    const user = await lockEnrolled(tx, user_id)
    await demandStillConfirmed(tx, confirmation)
    const before = { recovery_codes_left: await dropRecoveryCodes(tx, user_id) }
    const codes = await makeRecoveryCodes(tx, user_id)
    const after = { recovery_codes_left: codes.length }
    const facts = { subject_id: user_id, owner_id: user_id, before, after }
    await record(tx, actor, mfaRecoveryCodesReplaced, facts)
    await tell(tx, accounts, actor, user, 'recovery_codes_replaced')
    return codes
  })
}

async function lockEnrolled(tx: Tx, id: string): Promise<User> {
  const user = await lockUser(tx, id)
  if (!user.mfa_enabled) throw new Conflict('MFA is not enabled.')
  return user
}

async function makeRecoveryCodes(tx: Tx, user_id: string): Promise<string[]> {
  const codes = newRecoveryCodes()
  await tx.insert(recoveryCodes).values(codes.map(code => ({ user_id, code_hash: sha256(code) })))
  return codes
}

/** Returns how many were left. */
async function dropRecoveryCodes(tx: Tx, user_id: string): Promise<number> {
  const dropped = await tx
    .delete(recoveryCodes)
    .where(eq(recoveryCodes.user_id, user_id))
    .returning({ user_id: recoveryCodes.user_id })
  return dropped.length
}

async function tell(
  tx: Tx,
  { mailer }: Accounts,
  actor: Actor,
  { email: to, first_name }: User,
  change: 'enabled' | 'disabled' | 'recovery_codes_replaced',
) {
  await mailer.notify(tx, actor, mfaChangedMail, {
    to,
    data: { first_name, change, ...circumstances(actor) },
  })
}
