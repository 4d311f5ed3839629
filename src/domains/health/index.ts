import { packageVersion } from '../../lib/package.ts'
import { ref } from '../../lib/schema.ts'
import type { Domain } from '../domain.ts'
import { readinessProbe } from './readiness.ts'
import { Health, Liveness, NotReady, Readiness } from './schemas.ts'

const RETRY_AFTER_SECONDS = '2'

const config = { access: 'public', operational: true, conditional: false } as const
const tags = ['health']

export default {
  prefix: '/health',
  tag: { name: 'health', description: 'What load balancers, orchestrators and operators ask.' },
  routes: async app => {
    const readiness = readinessProbe(app)

    app.get(
      '',
      {
        config,
        schema: {
          operationId: 'getHealth',
          summary: 'Version and uptime',
          tags,
          response: { 200: ref(Health) },
        },
      },
      async () => ({
        status: 'healthy' as const,
        version: packageVersion,
        uptime_seconds: Math.floor(process.uptime()),
      }),
    )

    app.get(
      '/live',
      {
        config,
        schema: {
          operationId: 'getLiveness',
          summary: 'Whether the process answers at all',
          description: 'Touches nothing else. If it fails, restart the process.',
          tags,
          response: { 200: ref(Liveness) },
        },
      },
      () => ({ status: 'alive' as const }),
    )

    app.get(
      '/ready',
      {
        config,
        schema: {
          operationId: 'getReadiness',
          summary: 'Whether the process should get requests',
          description: 'Checks what the service depends on. If it fails, send requests elsewhere.',
          tags,
          response: {
            200: ref(Readiness),
            503: {
              ...ref(NotReady),
              description: 'Not now: what failed stands in `checks`, or `phase` is not `serving`.',
            },
          },
        },
      },
      async (_request, reply) => {
        const { ready, ...found } = await readiness()
        if (ready) return { status: 'ready' as const, ...found }
        return reply
          .code(503)
          .header('retry-after', RETRY_AFTER_SECONDS)
          .send({ status: 'not ready', ...found })
      },
    )
  },
} satisfies Domain
