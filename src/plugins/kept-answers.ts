import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Kept } from '../cache/kind.ts'
import { sortedPageLinks } from '../lib/paging.ts'
import { isVersioned, matches, preconditionFailed, tagOfBytes } from '../lib/precondition.ts'
import { tagOf } from './preconditions.ts'
import { addVary } from './vary.ts'

/** An answer as it goes over the wire: making it of rows is most of its cost. */
interface KeptAnswer {
  body: string
  etag: string
  /** Of a page of a list. */
  pagination?: Pagination
  /** For the URL that it was made for, which is nearly always the one that is asked for. */
  link?: string
  url: string
}

/** A tag is a header, which must not be anything else. */
export const isKeptAnswer = (value: unknown): boolean => {
  const { body, etag, url, link = '' } = Object(value)
  return [body, url, link].every(text => typeof text === 'string') && /^"[!#-~]*"$/.test(etag)
}

type Pagination = Parameters<typeof sortedPageLinks>[1]

interface Answering<Answer> {
  kept: Kept
  /** What of it is asked for; undefined where it is not worth a place. */
  key: string | undefined
  make(): Promise<Answer>
}

/**
 * Whoever shows no credential has written nothing, so that what is a little old will do, in any cache on the way. Whoever
 * does may look for what they wrote a moment ago: only their own cache keeps it, and has to ask each time.
 */
/** It is kept, too, with up to four links of the same length. */
const LONGEST_URL = 512

const ANONYMOUS = 'public, max-age=10, stale-while-revalidate=60'
const KNOWN = 'private, no-cache'

/** Answers what everybody may see, with the bytes that were kept if there are any. */
export async function answerKept<Answer extends object>(
  request: FastifyRequest,
  reply: FastifyReply,
  { kept, key, make }: Answering<Answer>,
) {
  const { operationId = '' } = request.routeOptions.schema ?? {}
  const showsCredential = hasCredential(request)
  const write = async () => written(request, reply, await make())
  const isKept = key !== undefined && request.url.length <= LONGEST_URL
  const wanted = { kept, key: `${operationId} ${key}`, mayHaveWritten: showsCredential }
  const answer = isKept ? await request.server.cache.read(wanted, write) : await write()
  if (!matches(request.precondition, answer.etag)) throw preconditionFailed()
  addVary(reply, 'Authorization', 'X-API-Key')
  reply.header('cache-control', showsCredential ? KNOWN : ANONYMOUS).header('etag', answer.etag)
  const link = linkOf(answer, request.url)
  if (link !== undefined) reply.header('link', link)
  return reply.type('application/json; charset=utf-8').send(answer.body as never)
}

const hasCredential = ({ headers }: FastifyRequest): boolean =>
  headers.authorization !== undefined || headers['x-api-key'] !== undefined

function written(request: FastifyRequest, reply: FastifyReply, made: object): KeptAnswer {
  const { url } = request
  const body = reply.serialize(made) as string
  const etag = isVersioned(made) ? tagOf(request, made) : tagOfBytes(body)
  if (!isPage(made)) return { body, etag, url }
  const { pagination } = made
  return { body, etag, url, pagination, link: sortedPageLinks(url, pagination) }
}

const isPage = (made: object): made is { pagination: Pagination } => 'pagination' in made

const linkOf = ({ link, url, pagination }: KeptAnswer, asked: string): string | undefined =>
  pagination === undefined || asked === url ? link : sortedPageLinks(asked, pagination)
