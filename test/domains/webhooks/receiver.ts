import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Received {
  id: string
  headers: Record<string, string>
  body: string
  /** When it had arrived. */
  at: number
}

export type Answer = (request: IncomingMessage, response: ServerResponse, received: Received) => unknown

export const answerWith =
  (status: number, headers: Record<string, string> = {}, body = '') =>
  (_request: IncomingMessage, response: ServerResponse) =>
    response.writeHead(status, headers).end(body)

/** A receiver of webhooks on loopback, which answers as it is told and remembers what it got. */
export async function aReceiver(t: Test, answer: Answer = answerWith(204)) {
  const received: Received[] = []
  const waiting = new Set<() => void>()
  const receiver = { url: '', received, answer, arrived, close }
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const headers = request.headers as Record<string, string>
    const message = {
      id: headers['webhook-id'] ?? '',
      headers,
      body: Buffer.concat(chunks).toString(),
      at: Date.now(),
    }
    received.push(message)
    const answered = receiver.answer(request, response, message)
    for (const look of waiting) look()
    await answered
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  t.teardown(close)
  return receiver

  /** Resolves when so many messages have arrived. */
  function arrived(count: number): Promise<Received[]> {
    return new Promise(resolve => {
      const look = () => {
        if (received.length < count) return
        waiting.delete(look)
        resolve(received)
      }
      waiting.add(look)
      look()
    })
  }

  function close() {
    server.closeAllConnections()
    server.close()
  }
}
