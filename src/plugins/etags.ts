import type { FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { namesTag, readPrecondition, tagOfBytes } from '../lib/precondition.ts'
import { withHeaders } from '../lib/schema.ts'
import { listOf, takeHeaders } from './on-route.ts'
import { NOT_MODIFIED, tags } from './preconditions.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `false` for what is asked to be told how it is right now: it has no `ETag`, and is never a 304. */
    conditional?: false
  }
}

type Done = (error?: Error | null, payload?: unknown) => void

const HEADERS = {
  'if-none-match': tags('Answer only if it is none of these, which the caller has: otherwise 304.'),
}
const ETAG = { ETag: 'What `If-None-Match` compares: another one when the answer is.' }

/** Gives every answer to GET that has no tag one that is made of its bytes, and spares those who have them already. */
export default fp(
  async app => {
    app.addHook('onRoute', route => {
      if (!isRead(route) || route.config?.conditional === false) return
      if (route.config?.versioned === undefined && isOfJson(route.schema)) document(route)
      // Before the handler that Fastify gives HEAD, which drops the bytes; and behind it, because it counts them.
      route.onSend = [tagBytes, ...listOf(route.onSend), sparePayload]
    })
  },
  { name: 'etags', dependencies: ['preconditions'] },
)

const isRead = ({ method }: RouteOptions) => method === 'GET' || method === 'HEAD'

/** What is streamed has no tag: it is on its way before anybody knows all of it. */
function isOfJson(schema: FastifySchema | undefined): boolean {
  const answer = Object(Object(schema?.response)[200])
  if (schema?.operationId === undefined) return false
  return answer.content === undefined ? answer.type !== 'null' : 'application/json' in answer.content
}

function document(route: RouteOptions) {
  takeHeaders(route, HEADERS)
  const { documented } = route.config ?? {}
  if (documented !== undefined) {
    const response = { ...documented.response, 200: withHeaders(Object(documented.response[200]), ETAG) }
    route.config = { ...route.config, documented: { response } }
  }
  const { 200: answer, ...others } = Object(route.schema?.response)
  route.schema = {
    ...route.schema,
    response: { ...others, 200: withHeaders(Object(answer), ETAG), 304: NOT_MODIFIED },
  }
}

function tagBytes(request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) {
  if (reply.statusCode !== 200) return done(null, payload)
  const etag = reply.getHeader('etag') ?? tagFor(payload)
  if (typeof etag !== 'string') return done(null, payload)
  const sent = request.headers['if-none-match']
  const named = sent === undefined ? undefined : namesTag(readPrecondition(undefined, sent), etag)
  // As it was named: it may tell how the bytes that the caller has are compressed.
  reply.header('etag', named ?? etag)
  if (named !== undefined) reply.code(304)
  done(null, payload)
}

const tagFor = (payload: unknown): string | undefined =>
  typeof payload === 'string' || payload instanceof Uint8Array ? tagOfBytes(payload) : undefined

function sparePayload(_request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) {
  if (reply.statusCode !== 304) return done(null, payload)
  reply.removeHeader('content-type').removeHeader('content-length')
  done(null, null)
}
