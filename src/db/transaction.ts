import { isRetryable } from './errors.ts'
import type { Db, Tx } from './types.ts'

const ATTEMPTS = 3

type Callback = () => void

const callbacksOf = new WeakMap<Db, Callback[]>()

/** Runs `work` in a transaction, again when the database ended it for the sake of another one. */
export async function inTransaction<T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T> {
  let callbacks: Callback[] = []
  const result = await withRetries(() => {
    callbacks = []
    return db.transaction(tx => {
      callbacksOf.set(tx, callbacks)
      return work(tx)
    })
  })
  const surrounding = callbacksOf.get(db)
  if (surrounding === undefined) for (const callback of callbacks) callback()
  else surrounding.push(...callbacks)
  return result
}

/** Has this process do something right after `tx` is committed. It must not throw, because there is no way back then. */
export function afterCommit(tx: Tx, callback: Callback) {
  const callbacks = callbacksOf.get(tx)
  if (callbacks === undefined) throw new Error('The transaction was not begun by inTransaction.')
  callbacks.push(callback)
}

async function withRetries<T>(transaction: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await transaction()
    } catch (error) {
      if (attempt === ATTEMPTS || !isRetryable(error)) throw error
    }
  }
}
