import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

interface Receiver {
  server: Server
  port: number
  url: string
  /** Every connection that was ever made to it. */
  sockets: Socket[]
  /** All that was sent to it. */
  wire: () => string
}

/** Somebody who listens on loopback, and need not speak HTTP. */
export async function receiver(t: Test, handle: (socket: Socket) => void): Promise<Receiver> {
  return listening(
    t,
    createServer({ noDelay: true }, socket => handle(socket)),
  )
}

/** Writes the same to each connection when something has come. */
export const answering = (t: Test, answer: string | Buffer) =>
  receiver(t, socket => socket.on('data', () => socket.write(answer)))

export async function listening(t: Test, server: Server, scheme = 'http'): Promise<Receiver> {
  const sockets: Socket[] = []
  let wire = ''
  server.prependListener('connection', (socket: Socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', chunk => {
      wire += chunk.toString('latin1')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  return { server, port, url: `${scheme}://127.0.0.1:${port}/`, sockets, wire: () => wire }
}

/** An answer with its length. */
export const response = (body: string, headers = '', status = '200 OK') =>
  `HTTP/1.1 ${status}\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
