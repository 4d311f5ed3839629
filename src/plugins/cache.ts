import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Cache, createCache } from '../cache/cache.ts'
import type { Kept } from '../cache/kind.ts'
import type { SharedRedis } from '../redis/shared.ts'
import { listOf } from './on-route.ts'

declare module 'fastify' {
  interface FastifyInstance {
    cache: Cache
  }
}

type Done = (error?: Error | null, payload?: unknown) => void

interface CacheOptions {
  /** Everything that is kept. */
  kept: readonly Kept[]
  redis: SharedRedis | undefined
}

/** Keeps what is read often, and answers no change before all who keep things know of it. */
export default fp(
  async (app, { kept, redis }: CacheOptions) => {
    const cache = createCache(app.database, redis, kept, app.metrics)
    app.decorate('cache', cache)
    app.addHook('onClose', () => cache.end())

    app.addHook('onRoute', route => {
      if (route.method === 'GET' || route.method === 'HEAD') return
      // Last: under an idempotency key, the change is committed by a hook of this kind.
      route.onSend = [...listOf(route.onSend), untilSettled]
    })

    function untilSettled(_request: FastifyRequest, _reply: FastifyReply, payload: unknown, done: Done) {
      const settled = cache.settled()
      if (settled === undefined) done(null, payload)
      else settled.then(() => done(null, payload), done)
    }
  },
  { name: 'cache', dependencies: ['metrics', 'idempotency'] },
)
