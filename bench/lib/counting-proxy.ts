import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'
import { isListener } from './listener-proxy.ts'

export interface Traffic {
  /** Statements that were executed, BEGIN and COMMIT too. */
  statements: number
  /** Times that the service waited for an answer before it went on. */
  roundTrips: number
  /** Statements that were parsed: not prepared before on that connection. */
  parsed: number
}

/** Between the service and Postgres, and counts by the messages of the protocol what goes over the wire. */
export async function countingProxy(target: URL) {
  const traffic: Traffic = { statements: 0, roundTrips: 0, parsed: 0 }
  const server = createServer(client => {
    const upstream = connect(Number(target.port || 5432), target.hostname)
    const count = createCounter(traffic)
    // What it does to hear announcements is not done for any request.
    client.once('data', startup => {
      if (!isListener(startup)) client.on('data', chunk => count.sent(chunk))
    })
    upstream.on('data', () => count.answered())
    join(client, upstream)
    join(upstream, client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target.href)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    traffic,
    reset: () => Object.assign(traffic, { statements: 0, roundTrips: 0, parsed: 0 }),
    close: () => server.close(),
  }
}

function join(from: Socket, to: Socket) {
  from.on('data', chunk => to.write(chunk))
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}

const TYPE_BYTES = 1
const LENGTH_BYTES = 4

/** Of one connection, from behind its startup packet. */
function createCounter(traffic: Traffic) {
  let rest = Buffer.alloc(0)
  let waiting = false

  return {
    sent(chunk: Buffer) {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        if (rest.length < TYPE_BYTES + LENGTH_BYTES) return
        const length = TYPE_BYTES + rest.readUInt32BE(TYPE_BYTES)
        if (rest.length < length) return
        note(String.fromCharCode(rest[0] ?? 0))
        rest = rest.subarray(length)
      }
    },
    answered() {
      waiting = false
    },
  }

  function note(type: string) {
    // E: execute what is prepared. Q: a text by itself.
    if (type === 'E' || type === 'Q') {
      traffic.statements++
      if (!waiting) traffic.roundTrips++
      waiting = true
    }
    if (type === 'P') traffic.parsed++
  }
}
