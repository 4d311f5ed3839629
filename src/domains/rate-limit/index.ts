import { ref } from '../../lib/schema.ts'
import type { Domain } from '../domain.ts'
import { RateLimitStanding } from './schemas.ts'

export default {
  prefix: '/api/v1/rate-limit',
  tag: { name: 'rate-limit', description: 'How much the caller may still ask.' },
  routes: async app => {
    app.get(
      '',
      {
        config: { access: 'optional', limits: 'none' },
        schema: {
          operationId: 'getRateLimit',
          summary: 'What is left of your quota',
          description:
            'Asking costs nothing. It is the quota of the tier, which counts most operations; those that have limits of ' +
            'their own, such as signing in, tell them in their answers.',
          tags: ['rate-limit'],
          response: { 200: ref(RateLimitStanding) },
        },
      },
      async (request, reply) => {
        reply.header('cache-control', 'private, no-store')
        const { enabled } = app.rateLimits
        return { enabled, ...(await app.rateLimits.standing(request)) }
      },
    )
  },
} satisfies Domain
