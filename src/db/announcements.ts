import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { Socket } from 'node:net'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { Sql } from 'postgres'
import { executePrepared } from './raw.ts'
import { watchedSockets } from './socket-watch.ts'
import type { Following, Listener, Tx } from './types.ts'

/** With a look-up on top, what is revoked is refused in every process within 250 ms. */
export const FRESH_MS = 200

/** Leaves an answer more than 100 ms on its way before what is cached cannot be used. */
const BEAT_MS = 75

/** What is said here takes no time, so whoever is silent for this long is dead, or deaf. */
const SILENCE_MS = 2_000

/** A server that restarts, or refuses us, is not asked at the rate of the beats by every process. */
const RETRY_MS = 250

/**
 * Every process that follows `channel` hears `text` when `tx` is committed.
 * Not for ordinary changes: such a commit takes a lock that the whole server shares.
 */
export async function announce(tx: Tx, channel: string, text: string): Promise<void> {
  await executePrepared(tx, 'select pg_notify($1, $2)', [channel, text])
}

/** What needs no quotes, and arrives as it was sent. */
export function checkChannel(name: string) {
  if (!/^[a-z_]{1,60}$/.test(name)) throw new Error(`${name} cannot be the name of a channel.`)
}

type Connect = (options: Record<string, unknown>) => Sql

/**
 * Follows on a connection of its own, which is made again whenever it is lost.
 *
 * Being current is a lease, because a frozen server or a network that swallows packets tells nothing. Postgres sends
 * what was announced before a statement arrived ahead of that statement's answer, and postgres.js hands it on in that
 * order. So once a beat is answered, all has been heard that was committed before the beat was sent.
 */
export function followServer(connect: Connect, channel: string, listener: Listener): Following {
  checkChannel(channel)
  const sockets = watchedSockets(SILENCE_MS)
  let connection: ListeningConnection
  let answeredBeat = Number.NEGATIVE_INFINITY
  let ended = false

  async function followUntilEnded() {
    while (!ended) {
      connection = openConnection(connect, sockets.open)
      connection.hears(channel, text => ended || listener.heard(text))
      // Whatever went wrong, the remedy is another connection.
      await followUntilLost().catch(() => {})
      await connection.close()
      await pause(RETRY_MS, undefined, { ref: false })
    }
  }

  async function followUntilLost() {
    await connection.execute(`listen ${channel}`)
    await testDelivery(connection, openConnection(connect, sockets.open))
    listener.missed()
    try {
      await beat()
    } finally {
      answeredBeat = Number.NEGATIVE_INFINITY
      if (!ended) listener.missed()
    }
  }

  async function beat() {
    for (;;) {
      const sent = performance.now()
      await connection.execute(`listen ${channel}`)
      answeredBeat = sent
      await pause(BEAT_MS, undefined, { ref: false, signal: connection.lost })
    }
  }

  followUntilEnded()
  return {
    isCurrent: () => performance.now() - answeredBeat <= FRESH_MS,
    async end() {
      ended = true
      sockets.stop()
      await connection.close()
    },
  }
}

type ListeningConnection = ReturnType<typeof openConnection>
type OpenSocket = ReturnType<typeof watchedSockets>['open']

/** Never more than one connection: postgres.js would replace a lost one in silence, and announcements with it. */
function openConnection(connect: Connect, openSocket: OpenSocket) {
  const notifications = new EventEmitter()
  const loss = new AbortController()
  let socket: Socket | undefined
  const client = connect({
    max: 1,
    max_lifetime: null,
    connection: { application_name: 'plinth listen' },
    socket(...target: Parameters<OpenSocket>) {
      loss.signal.throwIfAborted()
      socket = openSocket(...target)
      return socket
    },
    onnotify: (channel: string, text: string) => notifications.emit(channel, text),
    onclose: () => loss.abort(),
  })

  return {
    lost: loss.signal,
    hears: (channel: string, listener: (text: string) => void) => notifications.on(channel, listener),
    hearsOnce: (channel: string) => once(notifications, channel, { signal: loss.signal }),
    async execute(text: string) {
      await client.unsafe(text)
      // The answer of another connection would come after the loss of this one.
      loss.signal.throwIfAborted()
    },
    async close() {
      loss.abort()
      // A new socket begins to connect in a turn of its own, and would do so even if it had been destroyed before.
      await nextTurn()
      socket?.destroy()
    },
  }
}

/**
 * Behind a pooler that lends connections for a transaction, LISTEN is answered and nothing is ever heard. What tells
 * is an announcement by another connection while no statement of ours waits: along with an answer, even such a pooler
 * may pass one on. The pool is not used, because it may be busy, or frozen, when currency matters most.
 */
async function testDelivery(connection: ListeningConnection, other: ListeningConnection) {
  const channel = `test_${randomUUID().replaceAll('-', '')}`
  const limit = setTimeout(connection.close, SILENCE_MS).unref()
  try {
    await connection.execute(`listen ${channel}`)
    await Promise.all([connection.hearsOnce(channel), other.execute(`notify ${channel}`)])
  } finally {
    clearTimeout(limit)
    await other.close()
  }
}
