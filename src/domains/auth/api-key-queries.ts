import { and, count, desc, eq, lt } from 'drizzle-orm'
import { apiKeys } from '../../accounts/tables.ts'
import type { Db, Tx } from '../../db/types.ts'
import { type ApiKey, apiKeyColumns } from './api-key-schemas.ts'

/** Whose and which: a key of somebody else is never found. */
export interface OwnKey {
  id: string
  user_id: string
}

export const isOwnKey = ({ id, user_id }: OwnKey) => and(eq(apiKeys.id, id), eq(apiKeys.user_id, user_id))

/** Newest first. */
export const listApiKeys = (
  db: Db,
  user_id: string,
  { before, limit }: { before?: string | undefined; limit: number },
): Promise<ApiKey[]> =>
  db
    .select(apiKeyColumns)
    .from(apiKeys)
    .where(and(eq(apiKeys.user_id, user_id), before === undefined ? undefined : lt(apiKeys.id, before)))
    .orderBy(desc(apiKeys.id))
    .limit(limit)

export async function selectApiKey(db: Db, own: OwnKey): Promise<ApiKey | undefined> {
  const [key] = await db.select(apiKeyColumns).from(apiKeys).where(isOwnKey(own))
  return key
}

/** Locked until the transaction ends, so that its event shows what was really there before. */
export async function lockApiKey(tx: Tx, own: OwnKey): Promise<ApiKey | undefined> {
  const [key] = await tx.select(apiKeyColumns).from(apiKeys).where(isOwnKey(own)).for('no key update')
  return key
}

export async function countApiKeys(db: Db, user_id: string): Promise<number> {
  const [row] = await db.select({ keys: count() }).from(apiKeys).where(eq(apiKeys.user_id, user_id))
  return row?.keys ?? 0
}
