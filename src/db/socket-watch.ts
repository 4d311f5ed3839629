import { Socket } from 'node:net'

/** What postgres.js hands to its `socket` option. */
interface Target {
  host: string[]
  port: number[]
  path?: string
}

/** Our patch of postgres.js tells here whether a statement that was sent on the socket has no answer yet. */
type DriverSocket = Socket & { unanswered?: () => boolean }

const CHECK_EVERY_MS = 1_000

/**
 * Makes sockets that are ended when a statement on them has gone unanswered, and nothing has arrived, for `limitMs`.
 * A server that freezes, or a network that swallows packets, closes nothing: without this each statement, and each
 * request behind it, would hang until TCP gives up a quarter of an hour later.
 * Byte counters are read once a second, so the hot path pays nothing.
 */
export function watchedSockets(limitMs: number) {
  const sockets = new Map<DriverSocket, { read: number; since: number }>()

  const timer = setInterval(() => {
    for (const [socket, seen] of sockets) {
      const { destroyed, bytesRead } = socket
      const waiting = socket.unanswered?.() === true && bytesRead === seen.read
      if (destroyed) sockets.delete(socket)
      else if (!waiting) sockets.set(socket, { read: bytesRead, since: Date.now() })
      else if (Date.now() - seen.since > limitMs) socket.destroy()
    }
  }, CHECK_EVERY_MS)
  timer.unref()

  return {
    /** `turn` counts the hosts that this connection has tried in vain; our patch passes it on. */
    open({ host, port, path }: Target, turn = 0): Socket {
      const socket = new Socket()
      // postgres.js listens a moment later; what fails at once, such as ENETUNREACH, would find nobody and end the process.
      setImmediate(() =>
        path ? socket.connect(path) : socket.connect(port[turn] ?? 5432, host[turn] ?? 'localhost'),
      )
      // postgres.js reads the name from here when it checks the server's certificate.
      Object.assign(socket, { host: host[turn], port: port[turn] })
      sockets.set(socket, { read: 0, since: Date.now() })
      return socket
    },
    stop: () => clearInterval(timer),
  }
}
