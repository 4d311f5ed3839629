import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Tag } from '../plugins/openapi.ts'

/** One encapsulated part of the service: where it is mounted, how the documentation groups it, and its routes. */
export interface Domain {
  prefix: string
  tag: Tag
  routes: FastifyPluginAsyncTypebox
}
