import { isDeepStrictEqual } from 'node:util'
import { sql } from 'drizzle-orm'
import type { PgUpdateSetSource } from 'drizzle-orm/pg-core'
import type { Accounts } from '../../accounts/accounts.ts'
import { newApiKey, shownPart } from '../../accounts/api-key-format.ts'
import { demandSession } from '../../accounts/sessions.ts'
import { apiKeys } from '../../accounts/tables.ts'
import { lockUser } from '../../accounts/users.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Db, Tx } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import type { SignedInUser } from '../../lib/access.ts'
import type { Actor } from '../../lib/actor.ts'
import { sha256 } from '../../lib/opaque.ts'
import { Conflict, fieldFault, NotFound } from '../../lib/problems.ts'
import { apiKeyCreated, apiKeyRevoked, apiKeyRotated, apiKeyUpdated } from './api-key-events.ts'
import { countApiKeys, isOwnKey, lockApiKey, type OwnKey, selectApiKey } from './api-key-queries.ts'
import {
  type ApiKey,
  type ApiKeyChanges,
  apiKeyColumns,
  type IssuedApiKey,
  type NewApiKey,
} from './api-key-schemas.ts'

/** More than anybody has programs, and few enough to look through. */
export const MAX_API_KEYS = 50

export async function findApiKey(db: Db, own: OwnKey): Promise<ApiKey> {
  return (await selectApiKey(db, own)) ?? missing()
}

function missing(): never {
  throw new NotFound('You have no such key.')
}

export async function createApiKey(
  { database }: Accounts,
  actor: Actor,
  { id: user_id, session_id }: SignedInUser,
  fields: NewApiKey,
): Promise<IssuedApiKey> {
  const key = newApiKey()
  const values = { ...storedFields(fields), ...secretFields(key), user_id }
  const created = await inTransaction(database.db, async tx => {
    await demandRoom(tx, user_id)
    await demandSession(tx, session_id)
    const [after] = await tx.insert(apiKeys).values(values).returning(apiKeyColumns)
    if (after === undefined) throw new Error('An insert returns its row.')
    await record(tx, actor, apiKeyCreated, { subject_id: after.id, owner_id: user_id, after })
    return after
  })
  return { ...created, key }
}

function storedFields<Fields extends ApiKeyChanges>({ expires_at, ...fields }: Fields) {
  return { ...fields, ...(expires_at !== undefined && { expires_at: endOf(expires_at) }) }
}

const endOf = (moment: string | null): Date | null => (moment === null ? null : inFuture(moment))

function inFuture(moment: string): Date {
  const date = new Date(moment)
  // Some of what the format lets pass is no date to the language, and compares to nothing.
  if (date.getTime() > Date.now()) return date
  throw fieldFault({
    in: 'body',
    pointer: '/expires_at',
    code: 'future',
    message: 'must be a moment in the future',
  })
}

const secretFields = (key: string) => ({ prefix: shownPart(key), key_hash: sha256(key) })

/** The lock on the user lets only one of several requests at a time count and add. */
async function demandRoom(tx: Tx, user_id: string) {
  await lockUser(tx, user_id)
  if ((await countApiKeys(tx, user_id)) >= MAX_API_KEYS) {
    throw new Conflict(`You have ${MAX_API_KEYS} keys, which is as many as there may be; delete one first.`)
  }
}

/** Nothing to change is no change. */
export async function changeApiKey(
  { database, principals }: Accounts,
  actor: Actor,
  own: OwnKey,
  changes: ApiKeyChanges,
): Promise<ApiKey> {
  const values = storedFields(changes)
  return inTransaction(database.db, async tx => {
    const before = (await lockApiKey(tx, own)) ?? missing()
    if (isDeepStrictEqual({ ...before, ...values }, before)) return before
    const after = await updateApiKey(tx, own, values)
    await principals.forget(tx, own.user_id)
    await record(tx, actor, apiKeyUpdated, { subject_id: own.id, owner_id: own.user_id, before, after })
    return after
  })
}

async function updateApiKey(tx: Tx, own: OwnKey, values: PgUpdateSetSource<typeof apiKeys>): Promise<ApiKey> {
  const [after] = await tx
    .update(apiKeys)
    .set({ ...values, updated_at: sql`now()` })
    .where(isOwnKey(own))
    .returning(apiKeyColumns)
  return after ?? missing()
}

/** A new key in the place of the old one, which stays good for a while if that is wished; one before it does not. */
export async function rotateApiKey(
  { database, principals }: Accounts,
  actor: Actor,
  own: OwnKey,
  overlap_seconds: number,
): Promise<IssuedApiKey> {
  const key = newApiKey()
  const rotated = await inTransaction(database.db, async tx => {
    const before = (await lockApiKey(tx, own)) ?? missing()
    if (before.expires_at !== null && before.expires_at.getTime() <= Date.now()) {
      throw new Conflict('The key has expired, and so would the new one; change `expires_at` first.')
    }
    const after = await updateApiKey(tx, own, { ...secretFields(key), ...overlapFields(overlap_seconds) })
    await principals.forget(tx, own.user_id)
    await record(tx, actor, apiKeyRotated, { subject_id: own.id, owner_id: own.user_id, before, after })
    return after
  })
  return { ...rotated, key }
}

const overlapFields = (seconds: number) =>
  seconds === 0
    ? { previous_hash: null, previous_expires_at: null }
    : {
        previous_hash: sql`${apiKeys.key_hash}`,
        previous_expires_at: sql`now() + ${seconds} * interval '1 s'`,
      }

/** Of a key that is deleted nothing is left but its events. */
export async function revokeApiKey(
  { database, principals }: Accounts,
  actor: Actor,
  own: OwnKey,
): Promise<void> {
  await inTransaction(database.db, async tx => {
    const [before] = await tx.delete(apiKeys).where(isOwnKey(own)).returning(apiKeyColumns)
    if (before === undefined) return missing()
    await principals.forget(tx, own.user_id)
    await record(tx, actor, apiKeyRevoked, { subject_id: own.id, owner_id: own.user_id, before })
  })
}
