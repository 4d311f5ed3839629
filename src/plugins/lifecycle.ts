import fp from 'fastify-plugin'
import { isEnding, type Lifecycle, takesTraffic } from '../lib/lifecycle.ts'
import { Unavailable } from '../lib/problems.ts'

declare module 'fastify' {
  interface FastifyInstance {
    lifecycle: Lifecycle
  }
  interface FastifyContextConfig {
    /** A route for those who run or explore the service: answers in every phase, and no limit applies to it. */
    operational?: boolean
  }
}

/** Holds requests off until the schema is there, and asks clients to leave when the process is about to. */
export default fp(
  async (app, { lifecycle }: { lifecycle: Lifecycle }) => {
    app.decorate('lifecycle', lifecycle)

    app.addHook('onRequest', (request, _reply, done) => {
      const early = !takesTraffic(lifecycle.phase) && !isEnding(lifecycle.phase)
      const held = early && request.routeOptions.config.operational !== true && !request.is404
      done(held ? new Unavailable('The service is starting.') : undefined)
    })

    app.addHook('onSend', (_request, reply, payload, done) => {
      if (isEnding(lifecycle.phase)) reply.header('connection', 'close')
      done(null, payload)
    })
  },
  { name: 'lifecycle' },
)
