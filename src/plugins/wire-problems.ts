import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Problem } from '../lib/problem.ts'
import {
  ExpectationFailed,
  HeadersTooLarge,
  MalformedRequest,
  MethodNotAllowed,
  RequestTimeout,
} from '../lib/problems.ts'
import { problemBody } from './problems.ts'
import { newRequestId, requestId } from './request-id.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** How long a refused client may take to read why. */
const LINGER_MS = 2_000

/** Where Node keeps the answer that a socket is waiting for, and the request it answers. */
type ServerSocket = Socket & { _httpMessage?: ServerResponse & { req: IncomingMessage } }

/** Answers what Node would otherwise answer itself, without a body or not at all, before Fastify sees a request. */
export function answerOnTheWire(app: FastifyInstance) {
  app.server.on('checkExpectation', (request, response) => {
    const id = requestId(request)
    const problem = new ExpectationFailed('The only expectation that is met is 100-continue.')
    const body = Buffer.from(problemBody(problem, undefined, id))
    response.writeHead(problem.statusCode, { ...wireHeaders(id), 'content-length': body.length }).end(body)
  })
  app.server.on('connect', (_request, socket) => {
    // Node leaves it to us to listen for errors on a socket that it has given away.
    socket.on('error', () => {})
    endWith(
      socket as Socket,
      new MethodNotAllowed('This is not a proxy.', { headers: { allow: 'GET' } }),
      app.log,
    )
  })
}

/** For bytes that are not an HTTP request, or arrive too slowly: there is no request object, only a socket. */
export function answerClientError(this: FastifyInstance, error: NodeJS.ErrnoException, socket: ServerSocket) {
  const answer = socket._httpMessage
  if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
  // An earlier request on the connection is whole: its answer goes first, or the client would take ours for it.
  else if (answer?.req.complete) answer.once('finish', () => endWith(socket, clientProblem(error), this.log))
  // An answer in the middle of another one would be garbage.
  else if (answer?.headersSent) socket.destroy()
  else endWith(socket, clientProblem(error), this.log)
}

function clientProblem({ code }: NodeJS.ErrnoException): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new HeadersTooLarge('The request line and headers exceed 128 KiB.')
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new RequestTimeout('The request did not arrive in time.')
  return new MalformedRequest('The bytes received are not a valid HTTP request.')
}

function endWith(socket: Socket, problem: Problem, log: FastifyBaseLogger) {
  const id = newRequestId()
  const body = problemBody(problem, undefined, id)
  const head = { ...wireHeaders(id), ...problem.headers, 'content-length': Buffer.byteLength(body) }
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`)
  const { statusCode, definition } = problem
  log.info({ request_id: id, status: statusCode, problem: definition.code }, 'connection refused')
  // The other side may never close; it has had its answer.
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.end(`HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode]}\r\n${lines.join('')}\r\n${body}`)
}

const wireHeaders = (id: string) => ({
  ...SECURITY_HEADERS,
  'x-request-id': id,
  'content-type': 'application/problem+json',
  connection: 'close',
})
