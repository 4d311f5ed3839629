import { isConnectionFailure, isRetryable } from './errors.ts'
import { executePrepared, type Row } from './raw.ts'
import type { Db, Tx } from './types.ts'

const ATTEMPTS = 3

export type Callback = () => void

const callbacksOf = new WeakMap<Db, Callback[]>()

/** The pool that a transaction, or a deferral, goes through in the end. */
const pools = new WeakMap<Db, Db>()

export const poolOf = (db: Db): Db => pools.get(db) ?? db

/** Those whose transactions are committed later than they end (see `deferral.ts`). */
const deferring = new WeakSet<Db>()

/** Runs `work` in a transaction, again when the database ended it for the sake of another one. */
export async function inTransaction<T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T> {
  let callbacks: Callback[] = []
  const pool = poolOf(db)
  const attempt = withRetries(() => {
    callbacks = []
    return db.transaction(tx => {
      callbacksOf.set(tx, callbacks)
      pools.set(tx, pool)
      return work(tx)
    })
  })
  const surrounding = callbacksOf.get(db)
  if (surrounding === undefined) return callBack(attempt, () => callbacks)
  const result = await attempt
  surrounding.push(...callbacks)
  return result
}

/** Also where the answer to COMMIT was lost: what was to be forgotten may be out of date. */
export async function callBack<T>(committing: Promise<T>, callbacks: () => Callback[]): Promise<T> {
  try {
    const result = await committing
    for (const callback of callbacks()) callback()
    return result
  } catch (error) {
    if (isConnectionFailure(error)) for (const callback of callbacks()) callback()
    throw error
  }
}

/**
 * For a statement that is a whole change, and so a transaction of its own, which saves the round trips of BEGIN and
 * COMMIT. Where `db` defers its transactions, it has to be part of one.
 */
export const inOneStatement = <T>(db: Db, statement: (db: Db) => Promise<T>): Promise<T> =>
  deferring.has(db) ? inTransaction(db, statement) : statement(db)

/** The same for SQL text of ours, with its checks and its event in it. */
export const writeInOneStatement = (db: Db, text: string, values: unknown[]): Promise<Row[]> =>
  inOneStatement(db, inner => executePrepared(inner, text, values))

/**
 * Has this process do something right after `tx` is committed, or may have been. It must not throw, because there is no
 * way back then.
 */
export function afterCommit(tx: Tx, callback: Callback) {
  const callbacks = callbacksOf.get(tx)
  if (callbacks === undefined) throw new Error('The transaction was not begun by inTransaction.')
  callbacks.push(callback)
}

/** The same after a statement that is a whole change: what went through the pool is committed by now. */
export function afterStatement(db: Db, callback: Callback) {
  const callbacks = callbacksOf.get(db)
  if (callbacks === undefined) callback()
  else callbacks.push(callback)
}

/** Has the transactions on `db`, which stands for `pool`, leave their callbacks in a list, for whoever commits them. */
export function deferCallbacks(db: Db, pool: Db, callbacks: Callback[]) {
  deferring.add(db)
  callbacksOf.set(db, callbacks)
  pools.set(db, poolOf(pool))
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
