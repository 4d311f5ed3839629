import { connect, type Socket } from 'node:net'

/** What postgres.js hands to its `socket` option. */
interface Target {
  host: string[]
  port: number[]
  path?: string
}

interface Watched {
  read: number
  written: number
  waitingSince: number | undefined
}

const CHECK_EVERY_MS = 1_000

/**
 * Makes sockets that are ended when the other side has left what was written unanswered for `limitMs`.
 * A server that freezes, or a network that swallows packets, closes nothing: without this each statement,
 * and each request behind it, would hang until TCP gives up a quarter of an hour later.
 * Byte counters are read once a second, so the hot path pays nothing.
 */
export function watchedSockets(limitMs: number) {
  const sockets = new Map<Socket, Watched>()
  let attempts = 0

  const timer = setInterval(() => {
    for (const [socket, watched] of sockets) check(socket, watched, limitMs)
  }, CHECK_EVERY_MS)
  timer.unref()

  return {
    open({ host, port, path }: Target): Socket {
      // Several hosts in the URL are tried in turn, one per attempt.
      const turn = attempts++ % host.length
      const socket = path ? connect(path) : connect(port[turn] ?? 5432, host[turn])
      // postgres.js reads the name from here when it checks the server's certificate.
      Object.assign(socket, { host: host[turn], port: port[turn] })
      sockets.set(socket, { read: 0, written: 0, waitingSince: undefined })
      // Deleted lazily as well as here, because postgres.js drops all listeners when it upgrades to TLS.
      socket.once('close', () => sockets.delete(socket))
      return socket
    },
    stop: () => clearInterval(timer),
  }

  function check(socket: Socket, watched: Watched, limit: number) {
    if (socket.destroyed) {
      sockets.delete(socket)
      return
    }
    const { bytesRead, bytesWritten } = socket
    if (bytesRead !== watched.read) watched.waitingSince = undefined
    else if (bytesWritten !== watched.written) watched.waitingSince ??= Date.now()
    watched.read = bytesRead
    watched.written = bytesWritten
    if (watched.waitingSince !== undefined && Date.now() - watched.waitingSince > limit) socket.destroy()
  }
}
