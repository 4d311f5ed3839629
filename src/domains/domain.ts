import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Messages } from '../plugins/openapi-messages.ts'

/**
 * One encapsulated part of the service: where it is mounted, how the documentation groups it, its routes, and what it sends
 * by itself to addresses that clients name.
 */
export interface Domain {
  prefix: string
  tag: { name: string; description: string }
  routes: FastifyPluginAsyncTypebox
  messages?: Messages
}
