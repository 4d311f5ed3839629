import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import jwt, { type FastifyJWTOptions, type JWT } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import type { Role } from '../lib/access.ts'
import { readPem } from '../lib/formats.ts'
import { newId } from '../lib/id.ts'
import { isUuid } from '../lib/schema.ts'

declare module 'fastify' {
  interface FastifyInstance {
    accessTokens: AccessTokens
  }
}

export interface AccessTokens {
  /** Life of a token in seconds. */
  readonly expires_in: number
  /** What verifies our tokens elsewhere, the current key first; none where the key is a shared secret. */
  readonly publicKeys: readonly PublicKey[]
  sign(holder: { user_id: string; session_id: string; role: Role }): string
  /** What a token says, if it is ours and good. */
  read(token: string): AccessClaims | undefined
  /** The session of a token that is ours, be it good or expired: good for telling callers apart, and nothing else. */
  sessionOf(token: string): string | undefined
}

export interface AccessClaims {
  readonly sub: string
  readonly sid: string
  /** In seconds, as everywhere in a JWT. */
  readonly exp: number
}

/** A JWK (RFC 8037). */
export interface PublicKey {
  kty: 'OKP'
  crv: 'Ed25519'
  x: string
  kid: string
  alg: 'EdDSA'
  use: 'sig'
}

type Settings = Pick<
  Config,
  | 'JWT_SECRET_KEY'
  | 'JWT_SECRET_KEY_PREVIOUS'
  | 'JWT_PRIVATE_KEY'
  | 'JWT_PUBLIC_KEY_PREVIOUS'
  | 'JWT_ACCESS_TOKEN_EXPIRES'
>

interface Keys {
  algorithm: 'HS256' | 'EdDSA'
  current: { private: string; public: string }
  previous: { public: string } | undefined
  publicKeys: PublicKey[]
}

/** Issuer and audience: tokens are for this service, whoever else uses the same secret. */
const NAME = 'plinth'

/** An issuer or audience that is absent is not compared, so each claim is demanded by name. */
const REQUIRED_CLAIMS = ['iss', 'aud', 'sub', 'sid', 'jti', 'type', 'iat', 'exp']

/** Ours have 411 characters with HS256 and 524 with EdDSA; nobody makes us decode much more than that. */
const MAX_LENGTH = 4_096

/** Some 10 MB. On a slow machine, verifying takes 35 µs with HS256 and 280 with EdDSA; finding it here, 2. */
const MAX_REMEMBERED = 10_000

/** Signs and reads access tokens. */
export default fp(
  async (app, { config }: { config: Settings }) => {
    const { algorithm, current, previous, publicKeys } = readKeys(config)
    const expires_in = config.JWT_ACCESS_TOKEN_EXPIRES
    const kid = publicKeys[0]?.kid
    const options = {
      sign: { algorithm, iss: NAME, aud: NAME, expiresIn: expires_in, ...(kid && { kid }) },
      verify: {
        algorithms: [algorithm],
        allowedIss: NAME,
        allowedAud: NAME,
        requiredClaims: REQUIRED_CLAIMS,
      },
    }
    const signer = await openKey(app, { ...options, secret: current })
    const verifiers = [signer]
    if (previous) verifiers.push(await openKey(app, { ...options, secret: previous }))
    const remembered = new Map<string, AccessClaims>()

    app.decorate('accessTokens', {
      expires_in,
      publicKeys,
      sign: ({ user_id, session_id, role }) =>
        signer.sign({
          sub: user_id,
          sid: session_id,
          jti: newId(),
          role,
          is_admin: role === 'admin',
          type: 'access',
        }),
      read: token => {
        if (token.length > MAX_LENGTH) return undefined
        const claims = remembered.get(token) ?? verify(token)
        if (claims === undefined || Date.now() < claims.exp * 1000) return claims
        remembered.delete(token)
        return undefined
      },
      sessionOf: token =>
        token.length > MAX_LENGTH ? undefined : (verify(token) ?? expiredClaims(token))?.sid,
    })

    function verify(token: string): AccessClaims | undefined {
      for (const verifier of verifiers) {
        try {
          const claims = accessClaims(verifier.verify(token))
          if (claims) remember(token, claims)
          return claims
        } catch {
          // Not by this key, or not good at all, which the other key will find too.
        }
      }
      return undefined
    }

    /** A signature is looked at before the time. */
    function expiredClaims(token: string): AccessClaims | undefined {
      for (const verifier of verifiers) {
        try {
          verifier.verify(token)
        } catch (error) {
          if ((error as { code?: string }).code === 'FAST_JWT_EXPIRED')
            return accessClaims(verifier.decode(token) ?? {})
        }
      }
      return undefined
    }

    function remember(token: string, claims: AccessClaims) {
      const oldest = remembered.size < MAX_REMEMBERED ? undefined : remembered.keys().next().value
      if (oldest !== undefined) remembered.delete(oldest)
      remembered.set(token, claims)
    }
  },
  { name: 'access-token' },
)

function readKeys(config: Settings): Keys {
  const { JWT_SECRET_KEY, JWT_SECRET_KEY_PREVIOUS, JWT_PRIVATE_KEY, JWT_PUBLIC_KEY_PREVIOUS } = config
  return JWT_PRIVATE_KEY === undefined
    ? secretKeys(JWT_SECRET_KEY, JWT_SECRET_KEY_PREVIOUS)
    : ed25519Keys(JWT_PRIVATE_KEY, JWT_PUBLIC_KEY_PREVIOUS)
}

function secretKeys(current: string, previous: string | undefined): Keys {
  return {
    algorithm: 'HS256',
    current: { private: current, public: current },
    previous: previous === undefined ? undefined : { public: previous },
    publicKeys: [],
  }
}

function ed25519Keys(currentPem: string, previousPem: string | undefined): Keys {
  const privateKey = createPrivateKey(readPem(currentPem))
  const current = createPublicKey(privateKey)
  const given = previousPem === undefined ? undefined : createPublicKey(readPem(previousPem))
  // Clients refuse a set in which two keys have the same id.
  const previous = given?.equals(current) ? undefined : given
  return {
    algorithm: 'EdDSA',
    current: {
      private: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      public: toPem(current),
    },
    previous: previous && { public: toPem(previous) },
    publicKeys: [current, ...(previous ? [previous] : [])].map(toJwk),
  }
}

const toPem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()

function toJwk(key: KeyObject): PublicKey {
  const { x = '' } = key.export({ format: 'jwk' })
  const required = { crv: 'Ed25519', kty: 'OKP', x } as const
  // RFC 7638: a hash over exactly these members, in exactly this order.
  const kid = createHash('sha256').update(JSON.stringify(required)).digest('base64url')
  return { ...required, kid, alg: 'EdDSA', use: 'sig' }
}

/** In a scope of its own: two keys do not clash, and nobody can sign or verify in other ways than those above. */
async function openKey(app: FastifyInstance, options: FastifyJWTOptions): Promise<JWT> {
  let opened!: JWT
  await app.register(async scope => {
    // Its own name for it, `user`, is where the caller stands.
    await scope.register(jwt, { ...options, decoratorName: 'access_claims' })
    opened = scope.jwt
  })
  return opened
}

function accessClaims({ type, sub, sid, exp }: Record<string, unknown>): AccessClaims | undefined {
  if (type !== 'access' || !isId(sub) || !isId(sid)) return undefined
  return { sub, sid, exp: Number(exp) }
}

const isId = (value: unknown): value is string => typeof value === 'string' && isUuid(value)
