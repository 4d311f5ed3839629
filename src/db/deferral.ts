import { Unavailable } from '../lib/problems.ts'
import { type Callback, callBack, deferCallbacks } from './transaction.ts'
import type { Db, Tx } from './types.ts'

/** Changes that are made one after another and committed together, by somebody who knows when all is done. */
export interface Deferral {
  /**
   * From the first transaction on, all that goes through it is part of that one, which stays open. Before, it is the
   * pool: who hashes a password must not keep a connection meanwhile.
   */
  readonly db: Db
  /** Commits what was changed and what `last` adds; where nothing was changed, `last` alone, which is one statement. */
  commit(last: (db: Db) => Promise<void>): Promise<void>
  rollBack(): Promise<void>
}

/** A transaction that stays open until it is told how to end. */
interface Held {
  tx: Tx
  commit(): Promise<void>
  rollBack(): Promise<void>
}

/** Somebody who hangs must not keep locks for ever, nor the only connection of an embedded database. */
const LONGEST_PAUSE_MS = 10_000

export function defer(db: Db, { longest_pause_ms = LONGEST_PAUSE_MS } = {}): Deferral {
  const callbacks: Callback[] = []
  let held: Held | undefined
  /** Why nothing more can be changed. */
  let over: Error | undefined
  let pause: NodeJS.Timeout | undefined
  /** One transaction at a time, because they share a connection, and savepoints end in the order of a stack. */
  let line: Promise<unknown> = Promise.resolve()

  const deferring = new Proxy(db, {
    get(_db, name) {
      if (name === 'transaction') return transaction
      const source = held?.tx ?? db
      const value = Reflect.get(source, name)
      return typeof value === 'function' ? value.bind(source) : value
    },
  })
  deferCallbacks(deferring, db, callbacks)

  return {
    db: deferring,

    async commit(last) {
      await line
      if (over !== undefined) throw over
      over = new Error('What this was for has been committed.')
      const taken = take()
      if (taken === undefined) return last(db)
      try {
        await last(taken.tx)
      } catch (error) {
        await taken.rollBack()
        throw error
      }
      await callBack(taken.commit(), () => callbacks)
    },

    async rollBack() {
      await line
      over ??= new Error('What this was for has been undone.')
      await take()?.rollBack()
    },
  }

  function transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const result = line.then(() => hold(work))
    line = result.catch(() => {})
    return result
  }

  async function hold<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    if (over !== undefined) throw over
    clearTimeout(pause)
    try {
      if (held !== undefined) return await held.tx.transaction(work)
      held = await begin(db)
      return await first(work, held)
    } finally {
      if (held !== undefined) pause = setTimeout(giveUp, longest_pause_ms).unref()
    }
  }

  /** There is nothing else in it yet, so that when it fails nothing has to stay open. */
  async function first<T>(work: (tx: Tx) => Promise<T>, { tx }: Held): Promise<T> {
    try {
      return await work(tx)
    } catch (error) {
      await take()?.rollBack()
      throw error
    }
  }

  function giveUp() {
    over = new Unavailable('The change took too long, and was undone.')
    take()?.rollBack()
  }

  function take(): Held | undefined {
    const taken = held
    held = undefined
    clearTimeout(pause)
    return taken
  }
}

function begin(db: Db): Promise<Held> {
  return new Promise((resolve, reject) => {
    const ended = db.transaction(
      tx =>
        new Promise<void>((finish, fail) => {
          resolve({
            tx,
            commit() {
              finish()
              return ended
            },
            async rollBack() {
              fail(new Error('It is to be rolled back.'))
              // Where that cannot be said, the connection is lost, and the transaction with it.
              await ended.catch(() => {})
            },
          })
        }),
    )
    // Once it has begun, this is too late to tell; whoever uses it next will hear.
    ended.catch(reject)
  })
}
