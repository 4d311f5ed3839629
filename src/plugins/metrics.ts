import fp from 'fastify-plugin'
import { Registry } from 'prom-client'

declare module 'fastify' {
  interface FastifyInstance {
    /** What is counted and measured here; whoever counts registers its metrics with it. */
    metrics: Registry
  }
}

/** One registry per app, not the library's own for the whole process: tests build many. */
export default fp(
  async app => {
    app.decorate('metrics', new Registry())
  },
  { name: 'metrics' },
)
