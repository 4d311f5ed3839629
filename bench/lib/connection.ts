import { connect, type Socket } from 'node:net'

/** What became of one request. `result` is the status, or the code of the error that took its place. */
export interface Answer {
  result: string
  /** By `performance.now()`. */
  sentAt: number
  endedAt: number
  retryAfter: string | undefined
  /** The status line and the header fields. */
  head: string
  body: string
}

export interface Asked {
  method?: string
  path: string
  token?: string | undefined
  headers?: Record<string, string>
  body?: object
}

export type Connection = ReturnType<typeof openConnection>

/** A request as it goes over the wire; made beforehand where many are to be sent. */
export function requestText({ method = 'GET', path, token, headers = {}, body }: Asked): string {
  const content = body === undefined ? '' : JSON.stringify(body)
  const lines = [`${method} ${path} HTTP/1.1`, 'host: 127.0.0.1', 'user-agent: bench']
  if (token !== undefined) lines.push(`authorization: Bearer ${token}`)
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  if (content) lines.push('content-type: application/json', `content-length: ${Buffer.byteLength(content)}`)
  return `${lines.join('\r\n')}\r\n\r\n${content}`
}

/**
 * A kept connection, with one request at a time. It costs a third of what `node:http` does, and has no agent that could
 * queue, retry or open another: what the clients of a bench use is taken from the service on the same cores. `from`: an
 * address of loopback, of which each is another client to the service.
 */
export function openConnection(port: number, { from = '127.0.0.1' } = {}) {
  let socket: Socket | undefined
  let received = ''
  let settle: ((outcome: Partial<Answer> & { result: string }) => void) | undefined

  function open(): Socket {
    const made = connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true }).setEncoding('latin1')
    made.on('data', text => {
      received += text
      const answer = parse(received)
      if (answer === undefined) return
      received = ''
      settle?.(answer)
    })
    made.on('error', (error: NodeJS.ErrnoException) => lose(made, error.code ?? error.message))
    made.on('close', () => lose(made, 'CLOSED'))
    return made
  }

  function lose(lost: Socket, result: string) {
    if (lost !== socket) return
    socket = undefined
    settle?.({ result })
  }

  function send(text: string): Promise<Answer> {
    if (settle !== undefined) throw new Error('One request at a time.')
    received = ''
    socket ??= open()
    const sentAt = performance.now()
    socket.write(text)
    return new Promise(resolve => {
      settle = outcome => {
        settle = undefined
        resolve({ retryAfter: undefined, head: '', body: '', ...outcome, sentAt, endedAt: performance.now() })
      }
    })
  }

  return {
    send,
    ask: (asked: Asked) => send(requestText(asked)),
    close() {
      socket?.destroy()
    },
  }
}

/** Undefined while it is not complete. All answers of these routes say how long they are. */
function parse(text: string) {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = text.slice(0, end)
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
  const start = end + 4
  if (text.length < start + length) return undefined
  return {
    result: head.slice(9, 12),
    retryAfter: fieldOf(head, 'retry-after'),
    head,
    body: text.slice(start, start + length),
  }
}

export const fieldOf = (head: string, name: string): string | undefined =>
  new RegExp(`^${name}: *(.*)$`, 'im').exec(head)?.[1]?.trim()
