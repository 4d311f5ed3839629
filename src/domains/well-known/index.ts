import { ref } from '../../lib/schema.ts'
import type { Domain } from '../domain.ts'
import { JwkSet } from './schemas.ts'

/** How long after a rotation a client may still look in vain for the new key. */
const MAX_AGE_SECONDS = 300

// Operational: other services let nobody in while they cannot get the keys, and these need neither schema nor database.
const config = { access: 'public', operational: true } as const

export default {
  prefix: '/.well-known',
  tag: { name: 'well-known', description: 'What other services look up by convention.' },
  routes: async app => {
    app.get(
      '/jwks.json',
      {
        config,
        schema: {
          operationId: 'getJwks',
          summary: 'Public keys of access tokens',
          description:
            'For services that verify access tokens themselves. Empty where tokens are signed by HS256.',
          tags: ['well-known'],
          response: { 200: ref(JwkSet) },
        },
      },
      async (_request, reply) => {
        reply.header('cache-control', `public, max-age=${MAX_AGE_SECONDS}`)
        return { keys: [...app.accessTokens.publicKeys] }
      },
    )
  },
} satisfies Domain
