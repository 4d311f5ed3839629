import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Test } from 'tap'

interface Received {
  from: string
  to: string[]
  user: string | undefined
  raw: string
}

/** A real mail server on loopback, without TLS unless the options say otherwise. */
export async function smtpServer(t: Test, options: SMTPServerOptions = {}) {
  const received: Received[] = []
  let wire = ''
  const smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    disableReverseLookup: true,
    allowInsecureAuth: true,
    onData(stream, session, done) {
      const chunks: Buffer[] = []
      stream.on('data', chunk => chunks.push(chunk))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        received.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          user: session.user as string | undefined,
          raw: Buffer.concat(chunks).toString('utf8'),
        })
        done()
      })
    },
    ...options,
  })
  smtp.on('error', () => {})
  smtp.server.prependListener('connection', (socket: Socket) => {
    socket.on('data', chunk => {
      wire += chunk.toString('latin1')
    })
  })
  smtp.listen(0, '127.0.0.1')
  await once(smtp.server, 'listening')
  t.teardown(() => new Promise<void>(resolve => smtp.close(() => resolve())))
  const { port } = smtp.server.address() as { port: number }
  return { received, wire: () => wire, variables: mailVariables(port) }
}

/** One that takes the envelope and hangs up when the message comes. */
export async function fickleServer(t: Test) {
  const server = createServer(socket => {
    let inMessage = false
    socket.on('error', () => {})
    socket.on('data', chunk => {
      if (inMessage) socket.destroy()
      inMessage = /^DATA/im.test(chunk.toString())
      socket.write(inMessage ? '354 go on\r\n' : '250 fine\r\n')
    })
    socket.write('220 here\r\n')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return mailVariables((server.address() as { port: number }).port)
}

export const mailVariables = (port: number) => ({
  MAIL_SERVER: '127.0.0.1',
  MAIL_PORT: String(port),
  MAIL_USE_TLS: 'false',
  MAIL_FROM: 'Plinth <no-reply@plinth.example>',
})

/** The reply that a handler of smtp-server gives by failing. */
export const reply = (responseCode: number, text: string) => Object.assign(new Error(text), { responseCode })

interface Part {
  /** Names in lower case, values unfolded and decoded. */
  headers: Record<string, string>
  /** How often each header stands there. */
  names: string[]
  body: string
}

/** A message taken apart, as far as ours go. */
export function readMessage(raw: string): Part & { parts: Part[] } {
  const whole = readPart(raw)
  const boundary = /boundary="([^"]+)"/.exec(whole.headers['content-type'] ?? '')?.[1]
  const pieces = boundary === undefined ? [] : raw.split(`--${boundary}`).slice(1, -1)
  return { ...whole, parts: pieces.map(piece => readPart(piece.replace(/^\r\n/, ''))) }
}

function readPart(raw: string): Part {
  const end = raw.indexOf('\r\n\r\n')
  const lines = raw
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
  const entries = lines.map(line => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), decodeWords(line.slice(colon + 1).trim())] as const
  })
  const headers = Object.fromEntries(entries)
  const body = decodeBody(raw.slice(end + 4), headers['content-transfer-encoding'] ?? '7bit')
  return { headers, names: entries.map(([name]) => name), body }
}

function decodeBody(body: string, encoding: string): string {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8')
  if (encoding !== 'quoted-printable') return body
  return bytesOf(body.replace(/=\r\n/g, ''))
}

const bytesOf = (text: string) =>
  Buffer.from(
    text.replace(/=([0-9A-F]{2})/gi, (_match, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString('utf8')

/** RFC 2047. */
const decodeWords = (value: string) =>
  value
    .replace(/\?= +=\?/g, '?==?')
    .replace(/=\?utf-8\?([qb])\?([^?]*)\?=/gi, (_match, kind: string, text: string) =>
      kind.toLowerCase() === 'b'
        ? Buffer.from(text, 'base64').toString('utf8')
        : bytesOf(text.replaceAll('_', ' ')),
    )
