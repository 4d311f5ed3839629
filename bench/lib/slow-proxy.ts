import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { atExit } from './limits.ts'

export type SlowProxy = Awaited<ReturnType<typeof startSlowProxy>>

/** Stands before a port of loopback, and can make all that comes back from it late, or lose what it is given. */
export async function startSlowProxy(targetPort: number) {
  const sockets = new Set<Socket>()
  /** Those through which nothing passes any more, and whose ends are never told. */
  const dead = new WeakSet<Socket>()
  let delayMs = 0

  const server = createServer(client => {
    const upstream = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    client.setNoDelay(true).on('data', chunk => {
      if (!dead.has(client)) upstream.write(chunk)
    })
    const waiting: Buffer[] = []
    upstream.on('data', chunk => {
      waiting.push(chunk)
      if (delayMs === 0 && waiting.length === 1) pass()
      else setTimeout(pass, delayMs)
    })
    // Always the oldest, whosever time it is: none overtakes another.
    const pass = () => {
      const chunk = waiting.shift()
      if (chunk !== undefined && !dead.has(client)) client.write(chunk)
    }
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => {})
      one.on('close', () => {
        sockets.delete(one)
        if (!dead.has(client)) other.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  atExit(close)

  function close() {
    server.close()
    for (const socket of sockets) socket.destroy()
  }

  return {
    port: (server.address() as AddressInfo).port,
    delay(ms: number) {
      delayMs = ms
    },
    /** The connections that there are lose all that they carry, as behind a router that has forgotten them; new ones work. */
    forgetConnections() {
      for (const socket of sockets) dead.add(socket)
    },
    close,
  }
}
