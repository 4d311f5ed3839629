import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Config } from '../config.ts'
import { Unavailable } from '../lib/problems.ts'
import { corsHeaders } from './cors.ts'
import { pathOf, problemBody } from './problems.ts'
import { requestId } from './request-id.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** A body that is read to its end and dropped, so that the connection can be kept. */
const SMALL_BODY = 64 * 1024

/** How long who sends more than that may take to read why. */
const LINGER_MS = 2_000

/** Seconds; one of them at random, so that those who were refused together do not come back together. */
const RETRY_AFTER = [1, 2, 3]

const CLOSE = 'connection: close\r\n'

/** Where Node keeps a head that is ready to be sent. Strings that are made beforehand take a third off a refusal. */
type Prepared = ServerResponse & { _header: string; _hasBody: boolean; _last: boolean }

interface RefusalOptions {
  origins: Config['CORS_ORIGINS']
  /** Whether the client is to leave. */
  isEnding: () => boolean
}

/**
 * Answers a request with 503 as cheaply as Node can. What a refusal takes is taken from the requests that are served: at
 * four times the load that can be borne, three have to be refused for each of those. Through Fastify, one takes 80 µs,
 * by `writeHead` 22, so 16 (of which Node's own empty answer is 14 to 17, with the system calls).
 */
export function createRefusal({ origins, isEnding }: RefusalOptions) {
  const [beforeInstance, beforeId, afterId] = bodyParts()
  const heads = RETRY_AFTER.map(headWith)
  const cors = corsHeaders(origins)
  let turn = 0

  return (request: IncomingMessage, response: ServerResponse) => {
    const id = requestId(request)
    // Node takes no URL that is not ASCII, so characters are bytes.
    const instance = JSON.stringify(pathOf(request.url ?? '/'))
    const content = `${beforeInstance}${instance}${beforeId}${id}${afterId}`
    const leaves = !response.shouldKeepAlive || isEnding()
    const lingers = bodyOf(request) > SMALL_BODY
    const prepared = response as Prepared
    turn = (turn + 1) % heads.length
    const head = `${heads[turn]}x-request-id: ${id}\r\ncontent-length: ${content.length}\r\n${cors(request.headers.origin)}`
    const body = request.method === 'HEAD' ? '' : content
    response.statusCode = 503
    prepared._header = `${head}${leaves || lingers ? CLOSE : ''}\r\n${body}`
    // The body is in the same string already.
    prepared._hasBody = false
    prepared._last = leaves && !lingers
    // When it is sent: behind others on its connection, that may be later.
    if (lingers) response.once('finish', () => leaveTime(request))
    response.end()
  }
}

/** Node goes on dropping what arrives. Were the connection closed at once, its reset would overtake our answer. */
function leaveTime({ socket }: IncomingMessage) {
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}

function bodyOf({ headers }: IncomingMessage): number {
  // Of whoever waits to be told to go on nobody knows whether the body will come.
  if (headers['transfer-encoding'] !== undefined || headers.expect !== undefined)
    return Number.POSITIVE_INFINITY
  return headers['content-length'] === undefined ? 0 : Number(headers['content-length'])
}

function headWith(retryAfter: number): string {
  const headers = {
    ...SECURITY_HEADERS,
    'content-type': 'application/problem+json',
    'retry-after': retryAfter,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 503 ${STATUS_CODES[503]}\r\n${lines.join('')}`
}

/** The body around the two things in it that differ. */
function bodyParts(): [string, string, string] {
  const problem = new Unavailable('There is more to do than can be done at the moment.')
  const [before, between, after] = problemBody(problem, '<instance>', '<id>').split(/"<instance>"|<id>/)
  return [before ?? '', between ?? '', after ?? '']
}
