import { afterStatement, poolOf } from '../db/transaction.ts'
import type { Db } from '../db/types.ts'
import type { EventType } from './event-type.ts'

/** What has been committed, as far as whoever keeps copies of things has to know. */
export interface Committed {
  /** The name of the event's type; where the change itself chose it, that of one with the same subject. */
  type: string
  /** Whose data it is about. */
  owner_id: string | null
}

/** May not throw: nobody is there to catch it. */
type Listener = (change: Committed) => void

/** By pool and not for the whole process, in which tests run many services. */
const listenersOf = new WeakMap<Db, Set<Listener>>()

/**
 * Hears of every event that is recorded through this pool, right after its commit, and before whoever asked for the change
 * is answered. What other processes record is heard by `CHANNEL`, and only of types that are announced.
 */
export function followCommitted(pool: Db, listener: Listener): () => void {
  const listeners = listenersOf.get(pool) ?? new Set()
  listenersOf.set(pool, listeners.add(listener))
  return () => listeners.delete(listener)
}

/** Called by what records, on a transaction, or after a statement that was a whole change. */
export function tellCommitted(db: Db, change: Committed) {
  const listeners = listenersOf.get(poolOf(db))
  if (listeners === undefined || listeners.size === 0) return
  afterStatement(db, () => {
    for (const listener of listeners) listener(change)
  })
}

/** The channel on which types that are announced are named, in the transaction of the change itself. */
export const CHANNEL = 'committed'

/** What makes inserting an event announce it: part of the statement, so that no process can die in between. */
export const announcement = ({ announced }: Pick<EventType, 'announced'>): string =>
  announced ? ` returning pg_notify('${CHANNEL}', type)` : ''
