import { type Agent, request } from 'node:http'
import { createServer } from 'node:net'

/** What became of one request. `result` is the status, or the code of the error that took its place. */
export interface Outcome {
  path: string
  result: string
  /** When it was sent and answered, by `performance.now()`. */
  sentAt: number
  endedAt: number
  reusedSocket: boolean
  retryAfter: string | undefined
}

interface Ask {
  port: number
  path: string
  /** Without one, the request has a connection of its own. */
  agent?: Agent
  headers?: Record<string, string>
  limitMs?: number
}

/** Longer than any answer of the service should take, so that what hangs is seen and not waited for. */
const ANSWER_LIMIT_MS = 30_000

/** Asks once, reads the whole answer, and never throws or retries. */
export function ask({ port, path, agent, headers = {}, limitMs = ANSWER_LIMIT_MS }: Ask): Promise<Outcome> {
  return new Promise(resolve => {
    const sentAt = performance.now()
    const outgoing = request({ host: '127.0.0.1', port, path, headers, agent: agent ?? false })
    let retryAfter: string | undefined

    const end = (result: string) => {
      const { reusedSocket } = outgoing
      resolve({ path, result, sentAt, endedAt: performance.now(), reusedSocket, retryAfter })
    }
    const fail = (error: NodeJS.ErrnoException) => end(error.code ?? error.message)

    outgoing.setTimeout(limitMs, () => {
      outgoing.destroy(Object.assign(new Error('No answer'), { code: 'NO_ANSWER' }))
    })
    outgoing.on('error', fail)
    outgoing.on('response', response => {
      retryAfter = response.headers['retry-after']
      response.on('error', fail)
      response.on('end', () => end(String(response.statusCode)))
      response.resume()
    })
    outgoing.end()
  })
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
