import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

/** One encapsulated part of the service: where it is mounted, how the documentation groups it, and its routes. */
export interface Domain {
  prefix: string
  tag: { name: string; description: string }
  routes: FastifyPluginAsyncTypebox
}
