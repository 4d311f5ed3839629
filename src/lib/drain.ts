import { once } from 'node:events'
import type { Server } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

interface DrainTimes {
  /** How long to go on accepting, so that whoever routes requests here can learn that it should not. */
  delayMs: number
  /** How long a connection without a request may stay, in case one is on its way. */
  idleMs: number
  /** When to cut what is still open, counted from the start. */
  graceMs: number
}

const CHECK_EVERY_MS = 20

/**
 * Lets a server end without losing a request. Closing it the ordinary way also closes idle keep-alive connections,
 * and a request that the client has just sent on one of them is lost; so new connections are refused first,
 * while the answers on old ones say `Connection: close` and end them one by one.
 * Returns how many connections had to be cut.
 */
export async function drain(
  server: Server,
  connections: ReadonlySet<Socket>,
  { delayMs, idleMs, graceMs }: DrainTimes,
): Promise<number> {
  const deadline = Date.now() + graceMs
  await sleep(Math.min(delayMs, graceMs))

  const closed = once(server, 'close')
  // Not the method of http.Server, which would close idle connections with it.
  NetServer.prototype.close.call(server)
  const idleUntil = Date.now() + idleMs
  const watch = setInterval(() => {
    if (Date.now() < idleUntil) return
    server.closeIdleConnections()
    // Node does not count a connection as idle on which nothing has been asked yet.
    for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
  }, CHECK_EVERY_MS)

  const overdue = Math.max(deadline - Date.now(), 0)
  const inTime = await Promise.race([closed.then(() => true), sleep(overdue, false, { ref: false })])
  clearInterval(watch)
  if (inTime) return 0

  const cut = connections.size
  // Also those that Node has given away and no longer counts, as after CONNECT.
  for (const socket of connections) socket.destroy()
  await closed
  return cut
}

/** The open connections of a server, from now on. */
export function trackConnections(server: Server): ReadonlySet<Socket> {
  const connections = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  return connections
}
