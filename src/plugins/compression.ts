import { pipeline, type Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { acceptedEncoding } from '../lib/accepted-encoding.ts'
import { compressAside, compressBest, compressing, compressNow } from '../lib/compress.ts'
import { type Encoding, encodedTag } from '../lib/encoded-tag.ts'
import { memoized } from '../lib/memoized.ts'
import { listOf } from './on-route.ts'
import { addVary } from './vary.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What it answers with is always the same `Buffer`: compressed once, and as small as can be. */
    constant?: true
  }
}

type Done = (error?: Error | null, payload?: unknown) => void

/** With its headers, less than this fits into one packet as it is. */
const LEAST_BYTES = 1024

/**
 * Up to this, the event loop compresses itself, for 0.3 ms at most. A thread takes 0.05 to 0.1 ms of the event loop all the
 * same, and altogether more: of 1 KiB 0.12 ms instead of 0.05, of 4 KiB 0.18 instead of 0.14, of 8 KiB 0.22 instead of 0.18.
 * From here on it is as good as even, and 64 KiB would keep everybody else waiting for 0.8 ms (bench/compression.ts).
 */
const MOST_AT_ONCE_BYTES = 16 * 1024

/**
 * Of the four threads of the pool, hashing passwords takes up to three. More than this many large answers at once would
 * stand in line before whoever signs in, so the next ones go as they are.
 */
const MOST_ASIDE = 2

/** Each holds up to 1 MB, for as long as its reader takes. */
const MOST_STREAMS = 8

/** Text that is not sent as it comes to be, as `text/event-stream` is, and is not small already, as images are. */
const COMPRESSIBLE =
  /^(?:text\/(?!event-stream)|application\/(?:[\w.-]+\+)?(?:json|xml|javascript|x-ndjson)\b|image\/svg\+xml)/i

/**
 * Makes answers smaller for whoever can read them so. Which route holds a secret, and so is left alone, is said by the
 * route, and demanded by `route-rules`. Must be registered after whatever else looks at what is sent.
 */
export default fp(
  async app => {
    let aside = 0
    let streams = 0

    app.addHook('onRoute', route => {
      if (route.config?.secret === true) return
      // Last: an answer that is kept under an idempotency key, or has its bytes counted for HEAD, is so as it is.
      route.onSend = [...listOf(route.onSend), hookOf(route)]
    })

    function hookOf({ config }: RouteOptions) {
      const constant = config?.constant === true
      return (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) => {
        // Of a stream that failed before its first byte: the problem is not encoded as the stream was to be.
        if (reply.problem_code !== null) forgetEncoding(reply)
        if (payload === null || payload === undefined) {
          describeAbsent(request, reply)
          return done(null, payload)
        }
        if (!isLarge(payload) || !isOpen(reply)) return done(null, payload)
        addVary(reply, 'Accept-Encoding')
        const encoding = acceptedEncoding(request.headers['accept-encoding'])
        if (encoding === undefined) return done(null, payload)
        if (isStream(payload)) {
          if (streams >= MOST_STREAMS) return done(null, payload)
          streams++
          return done(
            null,
            encodedStream(reply, payload, encoding, () => streams--),
          )
        }
        const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload as string)
        if (constant && reply.problem_code === null)
          return send(best(bytes)[encoding](), encoding, reply, done)
        if (bytes.length <= MOST_AT_ONCE_BYTES) {
          markEncoded(reply, encoding)
          return done(null, compressNow(bytes, encoding))
        }
        if (aside >= MOST_ASIDE) return done(null, payload)
        aside++
        const compressed = compressAside(bytes, encoding).finally(() => {
          aside--
        })
        send(compressed, encoding, reply, done)
      }
    }
  },
  { name: 'compression', dependencies: ['idempotency', 'preconditions'] },
)

function send(compressed: Promise<Buffer>, encoding: Encoding, reply: FastifyReply, done: Done) {
  compressed.then(bytes => {
    markEncoded(reply, encoding)
    done(null, bytes)
  }, done)
}

/** As long as these bytes are somebody's. */
const best = memoized((bytes: Buffer) => {
  const made: Partial<Record<Encoding, Promise<Buffer>>> = {}
  const make = (encoding: Encoding) => () => {
    made[encoding] ??= compressBest(bytes, encoding)
    return made[encoding]
  }
  return { br: make('br'), gzip: make('gzip') }
})

/** If either breaks off, so does the other, and Fastify sees it in the encoded one and cuts the connection. */
function encodedStream(
  reply: FastifyReply,
  source: Readable,
  encoding: Encoding,
  ended: () => void,
): Readable {
  markEncoded(reply, encoding)
  return pipeline(source, compressing(encoding), ended)
}

/** HEAD tells what GET would, and 304 what 200 would, as far as that is known. */
function describeAbsent(request: FastifyRequest, reply: FastifyReply) {
  const isHead = request.method === 'HEAD' && reply.statusCode !== 304
  if (isHead ? !isLargeByLength(reply) || !isOpen(reply) : reply.statusCode !== 304) return
  addVary(reply, 'Accept-Encoding')
  const encoding = acceptedEncoding(request.headers['accept-encoding'])
  if (encoding === undefined) return
  if (isHead) markEncoded(reply, encoding)
  else nameKnownTag(request, reply, encoding)
}

/** Whether the caller has what is encoded, or what is not, only its own condition tells. */
function nameKnownTag({ headers }: FastifyRequest, reply: FastifyReply, encoding: Encoding) {
  const tag = reply.getHeader('etag')
  if (typeof tag !== 'string') return
  const encoded = encodedTag(tag, encoding)
  if (headers['if-none-match']?.includes(encoded)) reply.header('etag', encoded)
}

const isStream = (payload: unknown): payload is Readable =>
  typeof (payload as { pipe?: unknown }).pipe === 'function'

function isLarge(payload: unknown): boolean {
  if (typeof payload === 'string') {
    // A character has at most three bytes, which nobody need count in what is far from the limit.
    if (payload.length >= LEAST_BYTES || payload.length * 3 < LEAST_BYTES)
      return payload.length >= LEAST_BYTES
    return Buffer.byteLength(payload) >= LEAST_BYTES
  }
  // How long a stream will be, nobody knows.
  return Buffer.isBuffer(payload) ? payload.length >= LEAST_BYTES : isStream(payload)
}

const isLargeByLength = (reply: FastifyReply) => {
  const length = reply.getHeader('content-length')
  return length === undefined || Number(length) >= LEAST_BYTES
}

/** Whether nothing in the headers forbids it. A cookie is a secret wherever it is set. */
function isOpen(reply: FastifyReply): boolean {
  const { statusCode } = reply
  return (
    statusCode !== 206 &&
    COMPRESSIBLE.test(String(reply.getHeader('content-type'))) &&
    !reply.hasHeader('content-encoding') &&
    !reply.hasHeader('set-cookie') &&
    !String(reply.getHeader('cache-control')).includes('no-transform')
  )
}

function markEncoded(reply: FastifyReply, encoding: Encoding) {
  const tag = reply.getHeader('etag')
  if (typeof tag === 'string') reply.header('etag', encodedTag(tag, encoding))
  // Its length is another one, and so are the bytes that a range would name.
  reply.removeHeader('content-length').removeHeader('accept-ranges').header('content-encoding', encoding)
}

/** From the answer that Fastify prepares, and from the one that the stream had begun. */
function forgetEncoding(reply: FastifyReply) {
  if (reply.hasHeader('content-encoding')) reply.removeHeader('content-encoding')
  if (reply.raw.hasHeader('content-encoding') && !reply.raw.headersSent)
    reply.raw.removeHeader('content-encoding')
}
