import { Type } from '@sinclair/typebox'
import { and, asc, eq, gt, isNotNull } from 'drizzle-orm'
import type { Db } from '../db/types.ts'
import { defineJob } from '../jobs/job.ts'
import { createVault, type Vault } from '../lib/vault.ts'
import { secretsOf } from '../lib/vault-keys.ts'
import { users } from './tables.ts'

const READ_AT_ONCE = 100

/** Below every id. */
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

export const resealSecrets = defineJob({
  name: 'accounts.reseal-secrets',
  summary: 'Seals TOTP secrets with JWT_SECRET_KEY, so that JWT_SECRET_KEY_PREVIOUS can go',
  payload: Type.Object({}, { additionalProperties: false }),
  schedule: '7 4 * * *',
  lease_seconds: 60,
  async run(_payload, { config, database: { db }, logger, signal }) {
    const vault = createVault(secretsOf(config), 'accounts')
    const counts = { current: 0, resealed: 0, changed: 0, unreadable: 0 }
    let batch: Sealed[]
    let after = FIRST_ID
    do {
      signal.throwIfAborted()
      batch = await readSecrets(db, after)
      for (const secret of batch) counts[await reseal(db, vault, secret)]++
      after = batch.at(-1)?.id ?? after
    } while (batch.length === READ_AT_ONCE)
    if (counts.unreadable > 0) logger.warn(counts, 'TOTP secrets were sealed with a key that is gone')
    else logger.info(counts, 'TOTP secrets are sealed with the key of today')
  },
})

type Sealed = Awaited<ReturnType<typeof readSecrets>>[number]

const readSecrets = (db: Db, after: string) =>
  db
    .select({ id: users.id, totp_secret: users.totp_secret })
    .from(users)
    .where(and(isNotNull(users.totp_secret), gt(users.id, after)))
    .orderBy(asc(users.id))
    .limit(READ_AT_ONCE)

async function reseal(db: Db, vault: Vault, { id, totp_secret: old }: Sealed) {
  if (old === null || vault.isCurrent(old)) return 'current'
  const secret = openSecret(vault, old)
  if (secret === undefined) return 'unreadable'
  const resealed = await db
    .update(users)
    .set({ totp_secret: vault.seal(secret) })
    // Not over one that the user has asked for, or dropped, since it was read.
    .where(and(eq(users.id, id), eq(users.totp_secret, old)))
    .returning({ id: users.id })
  return resealed.length === 1 ? 'resealed' : 'changed'
}

/** Undefined when the key that it was sealed with is gone. */
export function openSecret(vault: Vault, sealed: string): string | undefined {
  try {
    return vault.open(sealed)
  } catch {
    return undefined
  }
}
