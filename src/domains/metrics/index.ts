import { timingSafeEqual } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { onRequestHookHandler } from 'fastify'
import { bearerToken } from '../../lib/bearer.ts'
import { metricsText } from '../../lib/cluster-metrics.ts'
import { sha256 } from '../../lib/opaque.ts'
import { Unauthenticated } from '../../lib/problems.ts'
import type { Domain } from '../domain.ts'

export default {
  prefix: '/metrics',
  tag: { name: 'metrics', description: 'What operators watch.' },
  routes: async app => {
    const { METRICS_TOKEN } = app.accounts.config

    app.get(
      '',
      {
        config: { access: 'public', operational: true, conditional: false, problems: [Unauthenticated] },
        onRequest: METRICS_TOKEN === undefined ? [] : [demand(METRICS_TOKEN)],
        schema: {
          operationId: 'getMetrics',
          summary: 'What the service counts and measures',
          description:
            'In the text format of Prometheus. Where `METRICS_TOKEN` is configured, it is demanded. Of several processes ' +
            'behind one port, each has its own samples, told apart by the label `process`.',
          tags: ['metrics'],
          security: [{}, { metricsToken: [] }],
          response: {
            200: {
              description: 'The metrics.',
              content: { 'text/plain': { schema: Type.String() } },
            },
          },
        },
      },
      async (_request, reply) => {
        const text = await metricsText(app.metrics)
        return reply.type(app.metrics.contentType).send(text)
      },
    )
  },
} satisfies Domain

/** Compared by hashes, which are equally long and tell nothing of where they first differ. */
function demand(token: string): onRequestHookHandler {
  const expected = sha256(token)
  return ({ headers }, _reply, done) => {
    const given = sha256(bearerToken(headers.authorization) ?? '')
    done(
      timingSafeEqual(given, expected)
        ? undefined
        : new Unauthenticated('This operation needs METRICS_TOKEN.'),
    )
  }
}
