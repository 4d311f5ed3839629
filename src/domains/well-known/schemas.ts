import { Type } from '@sinclair/typebox'
import { component, OneOf, ref } from '../../lib/schema.ts'

export const Jwk = component(
  'Jwk',
  Type.Object(
    {
      kty: OneOf(['OKP']),
      crv: OneOf(['Ed25519']),
      x: Type.String({ description: 'The key itself, in base64url.' }),
      kid: Type.String({ description: 'Its RFC 7638 thumbprint, which tokens name in their header.' }),
      alg: OneOf(['EdDSA']),
      use: OneOf(['sig']),
    },
    { description: 'A public key (RFC 8037).' },
  ),
)

export const JwkSet = component(
  'JwkSet',
  Type.Object(
    { keys: Type.Array(ref(Jwk)) },
    { description: 'Public keys (RFC 7517), the current one first.' },
  ),
)
