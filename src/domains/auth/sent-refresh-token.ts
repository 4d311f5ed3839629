import type { FastifyRequest } from 'fastify'
import { REFRESH_TOKEN_PREFIX } from '../../accounts/refresh-tokens.ts'
import { bearerToken } from '../../lib/bearer.ts'

/** In the body, validated or not, or as Bearer. Many clients send their access token with every request, this one too. */
export function sentRefreshToken({ body, headers }: FastifyRequest): string | undefined {
  const { refresh_token } = Object(body)
  if (typeof refresh_token === 'string') return refresh_token
  const token = bearerToken(headers.authorization)
  return token?.startsWith(REFRESH_TOKEN_PREFIX) ? token : undefined
}
