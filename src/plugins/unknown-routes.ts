import type { RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import findMyWay from 'find-my-way'
import { MethodNotAllowed, NotFound } from '../lib/problems.ts'
import { pathOf } from './problems.ts'

/** Tells a path that exists under another method (405) from one that does not exist (404). */
export default fp(
  async (app, { maxParamLength }: { maxParamLength: number }) => {
    const paths = findMyWay({ maxParamLength })
    const methodsOf = new Map<string, Set<string>>()

    app.addHook('onRoute', ({ method, url }: RouteOptions) => {
      // The preflight route of @fastify/cors matches everything.
      if (url === '*') return
      let methods = methodsOf.get(url)
      if (methods === undefined) {
        methods = new Set()
        methodsOf.set(url, methods)
        paths.on('GET', url, () => {}, methods)
      }
      for (const name of [method].flat()) methods.add(name)
    })

    app.setNotFoundHandler(async (request, reply) => {
      const methods = paths.find('GET', pathOf(request.url))?.store as Set<string> | undefined
      if (methods === undefined) throw new NotFound('There is nothing at this address.')
      const allow = [...methods, 'OPTIONS'].sort().join(', ')
      if (request.method === 'OPTIONS') return reply.code(204).header('allow', allow).send()
      throw new MethodNotAllowed(`This path does not take ${request.method}.`, { headers: { allow } })
    })
  },
  { name: 'unknown-routes' },
)
