import { type ClientRequest, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Arrival {
  /** Of the item that the event is about. */
  subject: string
  at: number
}

/** What a client does that follows its events for ever: it comes back whenever it is cut off, behind the last id. */
export interface EventClient {
  arrivals: Arrival[]
  readonly isConnected: boolean
  /** How often it was connected. */
  readonly connections: number
  /** Anything but 200 and a connection that is refused. */
  strange: string[]
  /** As when a network fails: it comes back by itself. */
  cut(): void
  end(): void
}

const FIRST_RETRY_MS = 1_000

export function openEventClient(port: number, token: string): EventClient {
  const arrivals: Arrival[] = []
  const strange: string[] = []
  let lastId = ''
  let retry_ms = FIRST_RETRY_MS
  let request: ClientRequest | undefined
  let connected = false
  let connections = 0
  let ended = false
  void run()

  return {
    arrivals,
    strange,
    get isConnected() {
      return connected
    },
    get connections() {
      return connections
    },
    cut() {
      connected = false
      request?.destroy()
    },
    end() {
      ended = true
      request?.destroy()
    },
  }

  async function run() {
    while (!ended) {
      await connect()
      connected = false
      if (!ended) await sleep(retry_ms)
    }
  }

  function connect() {
    return new Promise<void>(resolve => {
      const headers = { authorization: `Bearer ${token}`, ...(lastId && { 'last-event-id': lastId }) }
      request = get({ port, host: '127.0.0.1', path: '/api/v1/events?types=item.*', headers, agent: false })
      request.on('error', () => {})
      request.once('close', resolve)
      request.once('response', response => {
        if (response.statusCode !== 200) strange.push(String(response.statusCode))
        let rest = ''
        response.setEncoding('utf8')
        response.on('error', () => {})
        response.on('data', (text: string) => {
          const blocks = (rest + text).split('\n\n')
          rest = blocks.pop() ?? ''
          for (const block of blocks) hear(block)
        })
      })
    })
  }

  function hear(block: string) {
    if (!connected) connections++
    connected = true
    lastId = /^id: (.+)$/m.exec(block)?.[1] ?? lastId
    retry_ms = Number(/^retry: (\d+)$/m.exec(block)?.[1] ?? retry_ms)
    const subject = /^data: .*"subject":\{"type":"item","id":"([^"]+)"/m.exec(block)?.[1]
    if (subject !== undefined) arrivals.push({ subject, at: performance.now() })
  }
}
