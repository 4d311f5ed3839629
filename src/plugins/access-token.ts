import jwt from '@fastify/jwt'
import fp from 'fastify-plugin'
import { type Principal, ROLES } from '../lib/access.ts'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    payload: AccessClaims
    user: Principal | null
  }
}

interface AccessClaims {
  sub: string
  role: Principal['role']
  is_admin: boolean
  type: 'access'
}

/** Issuer and audience: tokens are for this service, whoever else uses the same secret. */
const NAME = 'plinth'

/** Signs and reads access tokens, as `app.jwt`. */
export default fp(
  async (app, { secret, expiresInSeconds }: { secret: string; expiresInSeconds: number }) => {
    await app.register(jwt, {
      secret,
      sign: { algorithm: 'HS256', iss: NAME, aud: NAME, expiresIn: expiresInSeconds * 1000 },
      verify: { algorithms: ['HS256'], allowedIss: NAME, allowedAud: NAME, requiredClaims: ['exp', 'sub'] },
      // Its own decoration would say that a caller is known before the route's access has been looked at.
      decoratorName: 'access_claims',
    })
  },
  { name: 'access-token' },
)

/** Whom a token stands for, if it is ours and good. */
export function readAccessToken(verify: (token: string) => object, token: string): Principal | undefined {
  try {
    const { sub, role, type } = verify(token) as Partial<AccessClaims>
    if (type !== 'access' || sub === undefined || role === undefined || !ROLES.includes(role))
      return undefined
    return { id: sub, role }
  } catch {
    return undefined
  }
}
