import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { databaseProblem } from '../db/errors.ts'
import { isProblem, type Problem, type ProblemConstructor } from '../lib/problem.ts'
import {
  HeadersTooLarge,
  Internal,
  MalformedRequest,
  NotFound,
  PayloadTooLarge,
  RateLimited,
  RequestTimeout,
  Unavailable,
  UnsupportedMediaType,
  UriTooLong,
} from '../lib/problems.ts'
import { newRequestId } from './request-id.ts'
import { SECURITY_HEADERS } from './security-headers.ts'
import { validationProblem } from './validation.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** The code of the problem that is the answer, for the log. */
    problem_code: string | null
  }
}

const RETRY_AFTER_SECONDS = '2'

/** Answers every failure in the one shape. Called before anything is registered, or children would keep Fastify's own handler. */
export function answerWithProblems(app: FastifyInstance) {
  app.decorateReply('problem_code', null)
  app.setErrorHandler(async (error, request, reply) => sendProblem(error, request, reply))
}

/** For faults that Fastify finds before a route is chosen, when no hook has run yet. */
export function answerFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  reply.headers({ ...SECURITY_HEADERS, 'x-request-id': request.id })
  sendProblem(error, request, reply)
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply) {
  const problem = toProblem(error, request)
  if (problem.statusCode >= 500) request.log.error({ err: problem }, 'request failed')
  reply.problem_code = problem.definition.code
  reply
    .code(problem.statusCode)
    .headers(problemHeaders(problem))
    .type('application/problem+json')
    // Bytes, because Fastify would add a charset, which this media type does not have.
    .send(Buffer.from(problemBody(problem, pathOf(request.url), request.id)))
  return reply
}

/**
 * For bytes that are not an HTTP request, or arrive too slowly: there is no request object, only a socket.
 */
export function answerClientError(this: FastifyInstance, error: NodeJS.ErrnoException, socket: Socket) {
  // The peer is gone, or an answer is already on its way: another one in the middle of it would be garbage.
  if (error.code === 'ECONNRESET' || !socket.writable || answeringNow(socket)) {
    socket.destroy()
    return
  }
  const id = newRequestId()
  const problem = clientProblem(error)
  const body = problemBody(problem, undefined, id)
  const head = {
    ...SECURITY_HEADERS,
    'x-request-id': id,
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  }
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`)
  const { statusCode, definition } = problem
  this.log.info({ request_id: id, status: statusCode, problem: definition.code }, 'connection refused')
  socket.end(`HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode]}\r\n${lines.join('')}\r\n${body}`)
}

/** Node hangs the answer that is being written on the socket under this name. */
function answeringNow(socket: Socket & { _httpMessage?: { headersSent: boolean } }): boolean {
  return socket._httpMessage?.headersSent === true
}

function clientProblem({ code }: NodeJS.ErrnoException): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new HeadersTooLarge('The request line and headers exceed 16 KiB.')
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new RequestTimeout('The request did not arrive in time.')
  return new MalformedRequest('The bytes received are not a valid HTTP request.')
}

const frameworkProblems: Record<string, [ProblemConstructor, string]> = {
  FST_ERR_BAD_URL: [MalformedRequest, 'The path is not validly percent-encoded.'],
  FST_ERR_MAX_PARAM_LENGTH: [UriTooLong, 'A segment of the path is too long.'],
  FST_ERR_CTP_BODY_TOO_LARGE: [PayloadTooLarge, 'The body is larger than this operation accepts.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [MalformedRequest, 'The body is not as long as Content-Length says.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    UnsupportedMediaType,
    'This operation does not read bodies of that media type.',
  ],
}

/** What libraries mean by their status codes; their messages are not for the outside. */
const statusProblems: Record<number, [ProblemConstructor, string]> = {
  400: [MalformedRequest, 'The request cannot be understood.'],
  404: [NotFound, 'There is nothing at this address.'],
  413: [PayloadTooLarge, 'The body is larger than this operation accepts.'],
  414: [UriTooLong, 'The URL is too long.'],
  415: [UnsupportedMediaType, 'This operation does not read bodies of that media type.'],
  429: [RateLimited, 'The limit is used up for now.'],
  503: [Unavailable, 'The service is not available at the moment.'],
}

function toProblem(error: unknown, request: FastifyRequest): Problem {
  if (isProblem(error)) return error
  const { code = '', statusCode = 500, validation } = error as Partial<FastifyError>
  if (validation) return validationProblem(request)
  if (request.raw.readableAborted) return new MalformedRequest('The body ended before it was complete.')
  const known = frameworkProblems[code] ?? statusProblems[statusCode]
  if (known) return new known[0](known[1], { cause: error })
  return databaseProblem(error) ?? new Internal('Something went wrong on our side.', { cause: error })
}

function problemHeaders({ statusCode, headers }: Problem): Record<string, string> {
  if (statusCode === 401) return { 'www-authenticate': 'Bearer', ...headers }
  if (statusCode === 429 || statusCode === 503) return { 'retry-after': RETRY_AFTER_SECONDS, ...headers }
  return headers
}

function problemBody(
  { definition, message, errors }: Problem,
  instance: string | undefined,
  requestId: string,
): string {
  const { code, title, status } = definition
  return JSON.stringify({
    type: `/problems/${code}`,
    title,
    status,
    detail: message,
    instance,
    code,
    request_id: requestId,
    errors,
  })
}

/** The path without the query, which may hold anything. */
export const pathOf = (url: string) => url.split('?', 1)[0] ?? url
