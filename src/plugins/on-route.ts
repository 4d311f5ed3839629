import type { TSchema } from '@sinclair/typebox'
import type { RouteOptions } from 'fastify'
import type { ProblemConstructor } from '../lib/problem.ts'

// What plugins add to the routes that turn them on.

/** The hooks of one kind that a route has already. */
export const listOf = <T>(hooks: T | T[] | undefined): T[] => [hooks ?? []].flat() as T[]

/** Headers that the route takes besides its own. Their names are in lower case, as Node hands them over. */
export function takeHeaders(route: RouteOptions, added: Record<string, TSchema>) {
  const { properties, ...headers } = Object(route.schema?.headers)
  const all = { type: 'object', ...headers, properties: { ...properties, ...added } }
  route.schema = { ...route.schema, headers: all }
}

/** Problems that the route may answer besides its own. */
export function mayAnswer(route: RouteOptions, ...problems: ProblemConstructor[]) {
  route.config = { ...route.config, problems: [...(route.config?.problems ?? []), ...problems] }
}
