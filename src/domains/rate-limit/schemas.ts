import { Type } from '@sinclair/typebox'
import { TIERS } from '../../lib/access.ts'
import { component, OneOf, ref } from '../../lib/schema.ts'

export const RateLimitPolicy = component(
  'RateLimitPolicy',
  Type.Object(
    {
      name: Type.String({ description: 'As in the header fields `RateLimit-Policy` and `RateLimit`.' }),
      quota: Type.Integer({ minimum: 1, description: 'Requests in a window.' }),
      window_seconds: Type.Integer({ minimum: 1, description: 'A window begins with its first request.' }),
      remaining: Type.Integer({ minimum: 0, description: 'Requests that are left.' }),
      reset_seconds: Type.Integer({ minimum: 1, description: 'Until the whole quota is there again.' }),
    },
    { description: 'One limit, and where the caller stands. All of them hold together.' },
  ),
)

export const RateLimitStanding = component(
  'RateLimitStanding',
  Type.Object({
    enabled: Type.Boolean({ description: 'Whether this service limits requests at all.' }),
    tier: OneOf(['anonymous', ...TIERS]),
    counted_by: OneOf(['user', 'api_key', 'address'], {
      description:
        'Each user, each API key, and each address of callers who are not signed in, has a quota of its own.',
    }),
    policies: Type.Array(ref(RateLimitPolicy)),
  }),
)
