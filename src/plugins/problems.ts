import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { databaseProblem } from '../db/errors.ts'
import { isProblem, type Problem, type ProblemConstructor } from '../lib/problem.ts'
import {
  Internal,
  MalformedRequest,
  NotFound,
  PayloadTooLarge,
  PreconditionFailed,
  RangeNotSatisfiable,
  RateLimited,
  Unavailable,
  UnsupportedMediaType,
  UriTooLong,
} from '../lib/problems.ts'
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
  return reply.send(becomeProblem(error, request, reply))
}

/** Makes a problem of the answer, for which these are the bytes to send. */
export function becomeProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): Buffer {
  const problem = toProblem(error, request)
  if (problem.statusCode >= 500) request.log.error({ err: problem }, 'request failed')
  reply.problem_code = problem.definition.code
  reply.code(problem.statusCode).headers(problemHeaders(problem)).type('application/problem+json')
  // What the route had said of its answer; a problem may be gone with the next request.
  if (!String(reply.getHeader('cache-control')).includes('no-store'))
    reply.header('cache-control', 'no-store')
  reply.removeHeader('etag')
  // Bytes, because Fastify would add a charset, which this media type does not have.
  return Buffer.from(problemBody(problem, pathOf(request.url), request.id))
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
  403: [NotFound, 'There is nothing at this address.'],
  404: [NotFound, 'There is nothing at this address.'],
  412: [PreconditionFailed, 'What the request supposes is not so.'],
  413: [PayloadTooLarge, 'The body is larger than this operation accepts.'],
  414: [UriTooLong, 'The URL is too long.'],
  415: [UnsupportedMediaType, 'This operation does not read bodies of that media type.'],
  416: [RangeNotSatisfiable, 'There is no such range in it.'],
  429: [RateLimited, 'The limit is used up for now.'],
  503: [Unavailable, 'The service is not available at the moment.'],
}

function toProblem(error: unknown, request: FastifyRequest): Problem {
  if (isProblem(error)) return error
  // Anything can be thrown, null too.
  const { code = '', statusCode = 500, validation } = (error ?? {}) as Partial<FastifyError>
  if (validation) return validationProblem(request)
  if (request.raw.readableAborted && !request.raw.complete)
    return new MalformedRequest('The body ended before it was complete.')
  const known = frameworkProblems[code] ?? statusProblems[statusCode] ?? callersFault(statusCode)
  if (known) return new known[0](known[1], { cause: error })
  return databaseProblem(error) ?? new Internal('Something went wrong on our side.', { cause: error })
}

/** A library's 4xx that we have no word for is still not our fault. */
function callersFault(status: number) {
  return status >= 400 && status < 500 ? statusProblems[400] : undefined
}

function problemHeaders({ statusCode, headers }: Problem): Record<string, string> {
  if (statusCode === 401) return { 'www-authenticate': 'Bearer', ...headers }
  if (statusCode === 429 || statusCode === 503) return { 'retry-after': RETRY_AFTER_SECONDS, ...headers }
  return headers
}

export function problemBody(
  { definition, message, errors, results }: Problem,
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
    results,
  })
}

/** The path alone: the query may hold anything, and so may the authority of a URL in absolute form. */
export function pathOf(url: string): string {
  const path = url.startsWith('/') || url === '*' ? url : url.replace(/^[a-z]+:\/\/[^/?#]*/i, '')
  return path.split('?', 1)[0] || '/'
}
