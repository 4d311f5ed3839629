import { Type } from '@sinclair/typebox'
import { and, asc, eq, gt, isNotNull } from 'drizzle-orm'
import type { PgColumn, PgTable, PgUpdateSetSource } from 'drizzle-orm/pg-core'
import type { Db } from '../db/types.ts'
import { createVault, type Vault } from '../lib/vault.ts'
import { secretsOf } from '../lib/vault-keys.ts'
import { defineJob, type Job } from './job.ts'

const READ_AT_ONCE = 100

/** Below every id. */
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

interface Resealed {
  name: string
  summary: string
  schedule: string
  /** That of the vault. */
  purpose: string
  table: PgTable & { id: PgColumn }
  /** Each holds what was sealed, or null. */
  columns: readonly PgColumn[]
}

/** A job that seals with the key of today what was sealed with the one before, which then can go. */
export const resealing = ({ name, summary, schedule, purpose, table, columns }: Resealed): Job =>
  defineJob({
    name,
    summary,
    schedule,
    payload: Type.Object({}, { additionalProperties: false }),
    lease_seconds: 60,
    async run(_payload, { config, database: { db }, logger, signal }) {
      const vault = createVault(secretsOf(config), purpose)
      const counts = { current: 0, resealed: 0, changed: 0, unreadable: 0 }
      for (const column of columns) {
        for await (const secret of readSecrets(db, table, column)) {
          signal.throwIfAborted()
          counts[await reseal(db, vault, table, column, secret)]++
        }
      }
      if (counts.unreadable > 0) logger.warn(counts, 'some secrets were sealed with a key that is gone')
      else logger.info(counts, 'all secrets are sealed with the key of today')
    },
  })

interface Sealed {
  id: string
  sealed: string
}

async function* readSecrets(db: Db, table: Resealed['table'], column: PgColumn): AsyncGenerator<Sealed> {
  let batch: Sealed[]
  let after = FIRST_ID
  do {
    batch = (await db
      .select({ id: table.id, sealed: column })
      .from(table)
      .where(and(isNotNull(column), gt(table.id, after)))
      .orderBy(asc(table.id))
      .limit(READ_AT_ONCE)) as Sealed[]
    yield* batch
    after = batch.at(-1)?.id ?? after
  } while (batch.length === READ_AT_ONCE)
}

async function reseal(
  db: Db,
  vault: Vault,
  table: Resealed['table'],
  column: PgColumn,
  { id, sealed }: Sealed,
) {
  if (vault.isCurrent(sealed)) return 'current'
  const secret = vault.openIfPossible(sealed)
  if (secret === undefined) return 'unreadable'
  const resealed = await db
    .update(table)
    .set({ [column.name]: vault.seal(secret) } as PgUpdateSetSource<PgTable>)
    // Not over one that has come, or gone, since it was read.
    .where(and(eq(table.id, id), eq(column, sealed)))
    .returning({ id: table.id })
  return resealed.length === 1 ? 'resealed' : 'changed'
}
