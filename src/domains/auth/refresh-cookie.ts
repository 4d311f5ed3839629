import type { FastifyReply, FastifyRequest } from 'fastify'
import { CsrfFailed } from '../../accounts/problems.ts'
import type { Config } from '../../config.ts'
import { LOCALHOST_ORIGIN } from '../../lib/origins.ts'

/** Browsers take a name that begins so from a secure page only. */
const NAME = '__Secure-plinth_refresh'

/** Sent to these routes and nowhere else, so that no other has to fear it. */
const ATTRIBUTES = 'Path=/api/v1/auth; HttpOnly; Secure; SameSite=Strict'

export function setRefreshCookie(reply: FastifyReply, token: string, seconds: number) {
  reply.header('set-cookie', `${NAME}=${token}; Max-Age=${seconds}; ${ATTRIBUTES}`)
}

export function clearRefreshCookie(reply: FastifyReply) {
  reply.header('set-cookie', `${NAME}=; Max-Age=0; ${ATTRIBUTES}`)
}

/** The token in the cookie. A browser sends it whoever made the page, so where the page is from must be allowed. */
export function readRefreshCookie(
  request: FastifyRequest,
  origins: Config['CORS_ORIGINS'],
): string | undefined {
  const token = refreshCookieIn(request)
  if (token !== undefined && !mayUseCookie(request, origins)) {
    throw new CsrfFailed('The refresh cookie is accepted from pages of allowed origins only.')
  }
  return token
}

/** The same wherever the page is from: good for telling requests apart, and nothing else. */
export const refreshCookieIn = ({ headers }: FastifyRequest): string | undefined =>
  new RegExp(`(?:^|;\\s*)${NAME}=([\\w-]+)`).exec(headers.cookie ?? '')?.[1]

function mayUseCookie({ headers, host }: FastifyRequest, origins: Config['CORS_ORIGINS']): boolean {
  const { origin } = headers
  if (origin === undefined || !URL.canParse(origin)) return false
  // A page of this very service; whatever else is in front of it keeps the Host header.
  if (new URL(origin).host === host) return true
  if (origins === 'localhost') return LOCALHOST_ORIGIN.test(origin)
  // `*` lets any page read public answers, which is not to say that any page may act for the user.
  return origins !== '*' && origins.includes(origin)
}
