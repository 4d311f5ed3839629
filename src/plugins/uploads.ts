import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { PayloadTooLarge, Unavailable, UnsupportedMediaType } from '../lib/problems.ts'
import { type Spool, spool } from '../lib/spool.ts'
import { demandPlainUtf8 } from './input.ts'
import { listOf } from './on-route.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The route takes a file: `request.body` is an `Upload` of one of these media types, each with its description, and
     * nothing else is taken. It is open until the handler's promise is settled.
     */
    upload?: { types: Record<string, string>; limit_bytes: number }
  }
}

/** A file that was sent and has arrived whole. */
export interface Upload extends Spool {
  media_type: string
}

/** The body of a route with `config.upload`. */
export const uploadOf = (request: FastifyRequest) => request.body as Upload

/** Each may fill the disk up to its limit. */
const MOST_AT_ONCE = 4

/** Or one who sends slowly would be in the way of all others. */
const MOST_OF_A_USER = 2

/** How long one who is refused in the middle may go on sending: cut off at once, most clients never read why. */
const LINGER_MS = 1_000

const GONE = 'The connection was closed before the upload was read; nothing was changed.'

/** Takes bodies that are too large for the memory. */
export default fp(
  async app => {
    /** For each that is open, whose it is. */
    const open: (string | undefined)[] = []
    /** Those whose handler closes the upload, whatever becomes of the connection meanwhile. */
    const handled = new WeakSet<FastifyRequest>()
    const ended = new WeakSet<FastifyRequest>()

    app.addHook('onRoute', function (route) {
      const { upload } = route.config ?? {}
      if (upload === undefined) return
      addParsers(this, Object.keys(upload.types))
      // Before anything is read, so that the connection can go on after a refusal.
      route.preParsing = [refuse, ...listOf(route.preParsing)]
      route.handler = closing(route.handler)
      route.onResponse = [closeUnhandled, ...listOf(route.onResponse)]
    })

    /** Only where the route is, since elsewhere nobody reads these types. */
    function addParsers(context: FastifyInstance, types: string[]) {
      for (const type of types) {
        if (!context.hasContentTypeParser(type)) context.addContentTypeParser(type, receive)
      }
    }

    function refuse(
      request: FastifyRequest,
      reply: FastifyReply,
      payload: Readable,
      done: (error: Error | null, payload?: Readable) => void,
    ) {
      const fault = headerFault(request) ?? crowdFault(request)
      // The hook is not called when the connection is lost.
      reply.raw.once('close', () => closeUnhandled(request))
      done(fault ?? null, payload)
    }

    function crowdFault({ user }: FastifyRequest): Error | undefined {
      const own = user === null ? 0 : open.filter(id => id === user.id).length
      return open.length < MOST_AT_ONCE && own < MOST_OF_A_USER
        ? undefined
        : new Unavailable('Too many uploads are under way; send it again later.')
    }

    async function receive(request: FastifyRequest, payload: IncomingMessage): Promise<Upload> {
      const fault = crowdFault(request)
      if (fault) throw fault
      const owner = request.user?.id
      open.push(owner)
      try {
        const kept = await spool(payload.iterator({ destroyOnReturn: false }), spoolOptions(request))
        if (ended.has(request)) await giveUp(kept)
        request.bodyDigest = kept.sha256 ?? null
        return { ...kept, media_type: mediaTypeOf(request), close: once(() => leave(kept, owner)) }
      } catch (error) {
        open.splice(open.indexOf(owner), 1)
        await linger(payload)
        throw error
      }
    }

    async function leave(kept: Spool, owner: string | undefined) {
      open.splice(open.indexOf(owner), 1)
      await kept.close()
    }

    function closing(handler: RouteOptions['handler']): RouteOptions['handler'] {
      return async function (request, reply) {
        if (ended.has(request)) throw new Unavailable(GONE)
        handled.add(request)
        try {
          return await handler.call(this, request, reply)
        } finally {
          await uploadOf(request).close()
        }
      }
    }

    /** Of a request that was refused, or whose sender went, before the handler's turn came. */
    async function closeUnhandled(request: FastifyRequest) {
      ended.add(request)
      if (!handled.has(request)) await (request.body as Upload | undefined)?.close()
    }
  },
  { name: 'uploads', dependencies: ['input'] },
)

function headerFault(request: FastifyRequest): Error | undefined {
  const { types, limit_bytes } = uploadConfig(request)
  if (!Object.hasOwn(types, mediaTypeOf(request))) {
    return new UnsupportedMediaType(`This operation reads ${Object.keys(types).join(' or ')}.`)
  }
  try {
    demandPlainUtf8(request)
  } catch (error) {
    return error as Error
  }
  return (announcedLength(request) ?? 0) > limit_bytes
    ? new PayloadTooLarge(`The body is larger than the ${limit_bytes} bytes that this operation accepts.`)
    : undefined
}

function spoolOptions(request: FastifyRequest) {
  return {
    limit: uploadConfig(request).limit_bytes,
    length: announcedLength(request),
    digest: request.headers['idempotency-key'] !== undefined,
  }
}

function uploadConfig({ routeOptions: { config, url } }: FastifyRequest) {
  if (config.upload === undefined) throw new UnsupportedMediaType(`${url} takes no files.`)
  return config.upload
}

const mediaTypeOf = ({ headers }: FastifyRequest) =>
  (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''

function announcedLength({ headers }: FastifyRequest): number | undefined {
  const length = headers['content-length']
  return length === undefined ? undefined : Number(length)
}

/** Whoever closes has been here already, and found nothing. */
async function giveUp(kept: Spool): Promise<never> {
  await kept.close()
  throw new Unavailable(GONE)
}

async function linger(payload: Readable) {
  payload.resume()
  await finished(payload, { writable: false, signal: AbortSignal.timeout(LINGER_MS) }).catch(() => {})
}

/** Closed by whoever comes first. */
function once(action: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => {
    done ??= action()
    return done
  }
}
