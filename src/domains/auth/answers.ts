import type { FastifyInstance, FastifyReply } from 'fastify'
import type { OpenSession } from '../../accounts/sessions.ts'
import { setRefreshCookie } from './refresh-cookie.ts'
import type { TokenPair } from './schemas.ts'

/** The tokens of a session, the refresh token in the body or, where that was asked for, in a cookie. */
export function tokenPair(
  { accessTokens, accounts }: FastifyInstance,
  reply: FastifyReply,
  { user, session_id, refresh_token }: OpenSession,
  cookie = false,
): TokenPair {
  const refresh_expires_in = accounts.config.JWT_REFRESH_TOKEN_EXPIRES
  if (cookie) setRefreshCookie(reply, refresh_token, refresh_expires_in)
  return {
    access_token: accessTokens.sign({ user_id: user.id, session_id, role: user.role }),
    ...(!cookie && { refresh_token }),
    token_type: 'Bearer',
    expires_in: accessTokens.expires_in,
    refresh_expires_in,
  }
}
