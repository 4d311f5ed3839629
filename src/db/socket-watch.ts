import { connect, type Socket } from 'node:net'

/** What postgres.js hands to its `socket` option. */
interface Target {
  host: string[]
  port: number[]
  path?: string
}

const CHECK_EVERY_MS = 1_000

/**
 * Makes sockets that are ended when nothing has arrived on them for `limitMs`, which must be longer than any statement
 * may take. A server that freezes, or a network that swallows packets, closes nothing: without this each statement, and
 * each request behind it, would hang until TCP gives up a quarter of an hour later. An idle connection is ended as well;
 * the pool opens another in a few milliseconds. Byte counters are read once a second, so the hot path pays nothing, and
 * they see through TLS, for which postgres.js takes all listeners off the socket.
 */
export function watchedSockets(limitMs: number) {
  const sockets = new Map<Socket, { read: number; since: number }>()
  let attempts = 0

  const timer = setInterval(() => {
    for (const [socket, seen] of sockets) {
      if (socket.destroyed) sockets.delete(socket)
      else if (socket.bytesRead !== seen.read)
        sockets.set(socket, { read: socket.bytesRead, since: Date.now() })
      else if (Date.now() - seen.since > limitMs) socket.destroy()
    }
  }, CHECK_EVERY_MS)
  timer.unref()

  return {
    open({ host, port, path }: Target): Socket {
      // Several hosts in the URL are tried in turn, one per attempt.
      const turn = attempts++ % host.length
      const socket = path ? connect(path) : connect(port[turn] ?? 5432, host[turn])
      // postgres.js reads the name from here when it checks the server's certificate.
      Object.assign(socket, { host: host[turn], port: port[turn] })
      sockets.set(socket, { read: 0, since: Date.now() })
      return socket
    },
    stop: () => clearInterval(timer),
  }
}
