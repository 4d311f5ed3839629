import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import {
  etagOf,
  isVersioned,
  matches,
  NO_PRECONDITION,
  namesTag,
  type Precondition,
  preconditionFailed,
  readPrecondition,
  TAGS_PATTERN,
} from '../lib/precondition.ts'
import { PreconditionFailed, PreconditionRequired } from '../lib/problems.ts'
import { nothing, withHeaders } from '../lib/schema.ts'
import { listOf, mayAnswer, takeHeaders } from './on-route.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What the caller supposes of the resource: for services, which check it where they change something. */
    readonly precondition: Precondition
  }
  interface FastifyContextConfig {
    /**
     * A route about one resource that has versions: its answers carry `ETag`, and conditions are honoured. `optional`: it
     * demands none even where the service does, because the caller may have no way to know the version; `answer`: it
     * makes the resource, so that there is nothing yet to lay a condition on.
     */
    versioned?: true | 'optional' | 'answer'
    /** What its answers show besides the resource, such as another one's name: it is told by the tag, too. */
    embedded?: (answer: never) => string | undefined
  }
}

interface PreconditionOptions {
  /** Whether changes must say which version they are made to. */
  required: boolean
}

type Done = (error?: Error | null, payload?: unknown) => void

export const tags = (description: string) =>
  Type.Optional(
    Type.String({ pattern: TAGS_PATTERN, description, 'x-message': 'must be * or a list of entity tags' }),
  )

const READ_HEADERS = {
  'if-match': tags('Answer only if the version is one of these: otherwise 412.'),
  'if-none-match': tags('Answer only if the version is none of these, which the caller has: otherwise 304.'),
}

const CHANGE_HEADERS = {
  'if-match': tags(
    'Change only what is of one of these versions: the `ETag` of the answer that it rests on.',
  ),
  'if-none-match': tags('Change only what is of none of these versions.'),
}

/** Whatever the tag is made of. */
export const NOT_MODIFIED = withHeaders(nothing('The caller has this answer already.'), {
  ETag: 'The tag that `If-None-Match` named.',
})

const ETAG = { ETag: 'The id and version: what `If-Match` and `If-None-Match` compare.' }

/** Lets callers say of which version they speak (RFC 9110, section 13), and tells them which one they were given. */
export default fp(
  async (app, { required }: PreconditionOptions) => {
    app.decorateRequest('precondition', { getter: preconditionOf })

    app.addHook('onRoute', route => {
      const { versioned } = route.config ?? {}
      if (versioned === undefined) return
      route.schema = withEtag(route.schema)
      if (isRead(route)) honourOnRead(route)
      else if (versioned !== 'answer') honourOnChange(route, versioned === true)
      route.preSerialization = [...listOf(route.preSerialization), tellVersion]
    })

    function honourOnChange(route: RouteOptions, demanded: boolean) {
      takeHeaders(route, CHANGE_HEADERS)
      mayAnswer(route, PreconditionFailed, ...(demanded ? [PreconditionRequired] : []))
      if (demanded && required) route.preHandler = [demandIfMatch, ...listOf(route.preHandler)]
    }
  },
  { name: 'preconditions' },
)

const isRead = ({ method }: RouteOptions) => method === 'GET' || method === 'HEAD'

function honourOnRead(route: RouteOptions) {
  takeHeaders(route, READ_HEADERS)
  mayAnswer(route, PreconditionFailed)
  const { response } = route.schema ?? {}
  route.schema = { ...route.schema, response: { ...Object(response), 304: NOT_MODIFIED } }
  route.preSerialization = [...listOf(route.preSerialization), compareVersion]
}

function withEtag(schema: FastifySchema = {}): FastifySchema {
  const responses = Object.entries(Object(schema.response)).map(([status, response]) => {
    const empty = Object(response).type === 'null'
    return [status, empty ? response : withHeaders(Object(response), ETAG)]
  })
  return { ...schema, response: Object.fromEntries(responses) }
}

/** Where the headers were validated, which is where they count. */
function preconditionOf(this: FastifyRequest): Precondition {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = this.headers
  if (ifMatch === undefined && ifNoneMatch === undefined) return NO_PRECONDITION
  const { versioned = 'answer' } = this.routeOptions.config
  return versioned === 'answer' ? NO_PRECONDITION : readPrecondition(ifMatch, ifNoneMatch)
}

/** Before serialisation, because the answer is still an object, and what the caller has need not be serialised. */
function compareVersion(request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) {
  const { precondition } = request
  if (precondition === NO_PRECONDITION || !isVersioned(payload)) return done(null, payload)
  const shown = tagOf(request, payload)
  if (!matches(precondition, shown)) return done(preconditionFailed())
  if (namesTag(precondition, shown)) reply.code(304)
  done(null, payload)
}

function tellVersion(request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) {
  if (isVersioned(payload)) reply.header('etag', tagOf(request, payload))
  done(null, payload)
}

/** What the answer to this request is known by. */
export function tagOf({ routeOptions: { config } }: FastifyRequest, answer: { id: string; version: number }) {
  const { id, version } = answer
  return etagOf({ id, version, embedded: config.embedded?.(answer as never) })
}

function demandIfMatch({ headers }: FastifyRequest, _reply: unknown, done: (error?: Error) => void) {
  if (headers['if-match'] !== undefined) return done()
  done(new PreconditionRequired('Say in If-Match which version you want to change.'))
}
