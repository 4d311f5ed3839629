import { connect, createServer, type Socket } from 'node:net'
import { atExit } from './limits.ts'

/** By which Postgres, and we, know the connections that hear announcements. */
export const LISTENER = 'plinth listen'

/** Of a startup packet: its length and the version of the protocol, before the pairs of names and values. */
const PARAMETERS_AT = 8

interface Pair {
  client: Socket
  upstream: Socket
  listens: boolean
}

export type ListenerProxy = Awaited<ReturnType<typeof startListenerProxy>>

/** Stands between a process and Postgres, and can freeze those of its connections that listen, as a network may. */
export async function startListenerProxy(databaseUrl: string) {
  const { hostname, port: databasePort } = new URL(databaseUrl)
  const pairs = new Set<Pair>()
  let frozen = false

  const server = createServer(client => {
    const upstream = connect({ host: hostname, port: Number(databasePort || 5432), noDelay: true })
    const pair: Pair = { client: client.setNoDelay(true), upstream, listens: false }
    pairs.add(pair)
    client.once('data', start => {
      pair.listens = isListener(start)
      if (frozen && pair.listens) return freezePair(pair, start)
      upstream.write(start)
      forward(pair)
    })
    for (const socket of [client, upstream]) {
      socket.on('error', () => {})
      socket.on('close', () => end(pair))
    }
  })

  function end(pair: Pair) {
    pairs.delete(pair)
    pair.client.destroy()
    pair.upstream.destroy()
  }

  const listeners = () => [...pairs].filter(({ listens }) => listens)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String(port)
  atExit(close)

  function close() {
    server.close()
    for (const pair of pairs) end(pair)
  }

  return {
    url: url.href,
    /** From where the listening connections come, as Postgres sees it. */
    listenerPorts: () => listeners().map(({ upstream }) => upstream.localPort ?? 0),
    /** Nothing passes any more, in either direction, and nobody is told. */
    freeze() {
      frozen = true
      for (const { client, upstream } of listeners()) {
        client.pause()
        upstream.pause()
      }
    },
    /** What waited goes on its way. */
    thaw() {
      frozen = false
      for (const { client, upstream } of listeners()) {
        client.resume()
        upstream.resume()
      }
    },
    close,
  }
}

export function isListener(startup: Buffer): boolean {
  const parameters = startup.toString('latin1', PARAMETERS_AT).split('\0')
  return parameters[parameters.indexOf('application_name') + 1] === LISTENER
}

/** One that was made while nothing passes: its first words wait too. */
function freezePair(pair: Pair, start: Buffer) {
  pair.client.pause()
  pair.client.unshift(start)
  forward(pair)
  pair.client.pause()
}

/** Not by `pipe`, which would resume by itself what was paused. */
function forward({ client, upstream }: Pair) {
  client.on('data', chunk => upstream.write(chunk))
  upstream.on('data', chunk => client.write(chunk))
}
