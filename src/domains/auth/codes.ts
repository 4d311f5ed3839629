import { and, eq, isNull, lt, or } from 'drizzle-orm'
import type { Accounts } from '../../accounts/accounts.ts'
import { normaliseRecoveryCode } from '../../accounts/recovery-codes.ts'
import { recoveryCodes, users } from '../../accounts/tables.ts'
import type { Tx } from '../../db/types.ts'
import { sha256 } from '../../lib/opaque.ts'
import { matchTotp } from '../../lib/totp.ts'

interface Owner {
  id: string
  totp_secret: string | null
}

/** Uses a code up, whichever kind it is. Of two who send the same, one gets it. */
export async function useCode(
  tx: Tx,
  accounts: Accounts,
  user: Owner,
  code: string,
): Promise<'totp' | 'recovery_code' | undefined> {
  const digits = code.replace(/\s/g, '')
  if (/^\d{6}$/.test(digits)) return (await useTotp(tx, accounts, user, digits)) ? 'totp' : undefined
  return (await useRecoveryCode(tx, user, code)) ? 'recovery_code' : undefined
}

export async function useTotp(
  tx: Tx,
  { vault }: Accounts,
  { id, totp_secret }: Owner,
  code: string,
): Promise<boolean> {
  // One that nobody can read fits no code. Recovery codes are still good then.
  if (totp_secret === null) return false
  const secret = vault.openIfPossible(totp_secret)
  if (secret === undefined) return false
  const step = matchTotp(secret, code, new Date())
  if (step === undefined) return false
  const isUnused = or(isNull(users.totp_last_step), lt(users.totp_last_step, step))
  const used = await tx
    .update(users)
    .set({ totp_last_step: step })
    // Of the secret that was read: it may have been replaced since.
    .where(and(eq(users.id, id), eq(users.totp_secret, totp_secret), isUnused))
    .returning({ id: users.id })
  return used.length === 1
}

async function useRecoveryCode(tx: Tx, { id }: Owner, text: string): Promise<boolean> {
  const code = normaliseRecoveryCode(text)
  if (code === undefined) return false
  const used = await tx
    .delete(recoveryCodes)
    .where(and(eq(recoveryCodes.user_id, id), eq(recoveryCodes.code_hash, sha256(code))))
    .returning({ user_id: recoveryCodes.user_id })
  return used.length === 1
}
