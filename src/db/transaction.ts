import { isRetryable } from './errors.ts'
import type { Db, Tx } from './types.ts'

const ATTEMPTS = 3

/** Runs `work` in a transaction, again when the database ended it for the sake of another one. */
export async function inTransaction<T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await db.transaction(work)
    } catch (error) {
      if (attempt === ATTEMPTS || !isRetryable(error)) throw error
    }
  }
}
