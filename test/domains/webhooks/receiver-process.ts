import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

// A receiver of webhooks as a process of its own, which outlives who sends. It tells of each message in a line, answers
// the first HOLD_AFTER at once, and all others when something comes on its standard input.

const holdAfter = Number(process.env.HOLD_AFTER ?? 0)
const held: ServerResponse[] = []
let holding = true
let count = 0

const tell = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)
const accept = (response: ServerResponse) => response.writeHead(204).end()

const server = createServer(async (request, response) => {
  const body = await text(request)
  const number = ++count
  tell({ msg: 'received', number, path: request.url, headers: request.headers, body })
  if (holding && number > holdAfter) held.push(response)
  else accept(response)
})

process.stdin.once('data', () => {
  holding = false
  held.forEach(accept)
})

server.listen(0, '127.0.0.1')
await once(server, 'listening')
tell({ msg: 'listening', port: (server.address() as AddressInfo).port })
