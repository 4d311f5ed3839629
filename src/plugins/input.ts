import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { parseJson } from '../lib/json.ts'
import { sha256 } from '../lib/opaque.ts'
import {
  InvalidText,
  MalformedJson,
  MalformedRequest,
  UnsupportedMediaType,
  UriTooLong,
} from '../lib/problems.ts'
import { listOf } from './on-route.ts'

/** Anything but printable ASCII, and `%`: only such a URL can hold what a decoded one must not. */
const NEEDS_A_LOOK = /[^\x21-\x24\x26-\x7e]/

/** Longer ones come from mistakes; what is a lot of data belongs in a body. */
const MAX_URL_LENGTH = 16 * 1024

/** A name or an address, and perhaps a port. */
const HOST = /^(\[[0-9a-f:.]+\]|[\w.~-]+)(:\d{1,5})?$/i

/** The body of a route that has none: what is sent all the same is refused rather than dropped. */
export const NO_FIELDS = Type.Object({}, { additionalProperties: false })

declare module 'fastify' {
  interface FastifyRequest {
    /** A hash of the body's bytes, wherever there is an `Idempotency-Key`: whoever parses a body has to set it. */
    bodyDigest: Buffer | null
  }
  interface FastifyContextConfig {
    /** The route does with or without: no body is an empty one. */
    body?: 'optional'
  }
}

/** Lets in only what can be read, decoded and stored as text, whatever route it is for. */
export default fp(
  async app => {
    app.decorateRequest('bodyDigest', null)
    app.removeAllContentTypeParsers()
    app.addContentTypeParser(
      'application/json',
      { parseAs: 'buffer' },
      async (request: FastifyRequest, body: Buffer) => {
        demandPlainUtf8(request)
        if (request.headers['idempotency-key'] !== undefined) request.bodyDigest = sha256(body)
        return readBody(body)
      },
    )
    app.addHook('onRoute', route => {
      // A file is no JSON, and no schema is for it.
      if (route.config?.upload) return
      const bodiless = route.schema?.body === undefined && [route.method].flat().some(takesBody)
      if (bodiless) route.schema = { ...route.schema, body: NO_FIELDS }
      if (!bodiless && route.config?.body !== 'optional') return
      route.preValidation = [fillBody, ...listOf(route.preValidation)]
    })
    app.addHook('onRequest', (request, _reply, done) => {
      done(hostFault(request.raw) ?? urlFault(request.url))
    })
  },
  { name: 'input' },
)

const takesBody = (method: string) => ['POST', 'PUT', 'PATCH', 'DELETE'].includes(method)

function fillBody(request: FastifyRequest, _reply: unknown, done: () => void) {
  if (request.body === undefined) request.body = {}
  done()
}

export function demandPlainUtf8({ headers }: FastifyRequest) {
  const encoding = headers['content-encoding'] || 'identity'
  if (encoding.toLowerCase() !== 'identity')
    throw new UnsupportedMediaType('Compressed bodies are not accepted.')
  const charset = /;\s*charset="?([^";\s]+)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8'
  if (!/^utf-?8$/i.test(charset)) throw new UnsupportedMediaType('Bodies are read in UTF-8 only.')
}

function readBody(body: Buffer): unknown {
  // Some clients send the header with every request, also where there is nothing to say.
  if (body.length === 0) return undefined
  if (!isUtf8(body)) throw new MalformedJson('The body is not valid UTF-8.')
  return parseJson(body.toString(), 'The body')
}

/** HTTP/1.1 demands exactly one; of several, proxies and we could each believe another. */
function hostFault({ httpVersion, headers, rawHeaders }: IncomingMessage): Error | undefined {
  if (httpVersion === '1.0' && headers.host === undefined) return undefined
  let hosts = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  const valid = hosts === 1 && HOST.test(headers.host ?? '')
  return valid ? undefined : new MalformedRequest('A request needs exactly one valid Host header.')
}

function urlFault(url: string): Error | undefined {
  if (url.length > MAX_URL_LENGTH) return new UriTooLong('The URL is too long.')
  if (!NEEDS_A_LOOK.test(url)) return undefined
  let decoded: string
  try {
    decoded = decodeURIComponent(url)
  } catch {
    return new MalformedRequest('The URL is not validly percent-encoded UTF-8.')
  }
  if (/[^\x21-\x7e]/.test(url))
    return new MalformedRequest('The URL contains characters that must be percent-encoded.')
  return decoded.includes('\0') ? new InvalidText('The URL contains a NUL character.') : undefined
}
