import type { FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import findMyWay from 'find-my-way'
import { MethodNotAllowed, NotFound } from '../lib/problems.ts'
import { pathOf } from './problems.ts'

/** Tells a path that exists under another method (405) from one that does not exist (404). */
export default fp(
  async (app, { maxParamLength }: { maxParamLength: number }) => {
    const paths = findMyWay({ maxParamLength })
    const methodsOf = new Map<string, Set<string>>()
    /** Paths such as `/items/:id`, which take for an id what is a path of its own under other methods: `/items/stats`. */
    let shadowing = new Set<string>()

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

    app.addHook('onRequest', (request, reply, done) => {
      // A preflight is for the plugin that knows the origins; it would take every other OPTIONS for one, too.
      const asksForMethods =
        request.method === 'OPTIONS' && !('access-control-request-method' in request.headers)
      const methods = asksForMethods ? methodsAt(request.url) : undefined
      if (methods) reply.code(204).header('allow', allow(methods)).send()
      else done(asksForMethods ? nothingThere() : undefined)
    })

    app.addHook('onReady', async () => {
      const urls = [...methodsOf.keys()]
      shadowing = new Set(urls.filter(url => urls.some(other => other !== url && covers(url, other))))
    })

    // Before a body is read: where there is no route, no body can be at fault.
    app.addHook('preParsing', (request, _reply, _payload, done) => {
      done(request.is404 || isShadowed(request) ? unmatched(request) : null)
    })

    const isShadowed = ({ url, method, routeOptions }: FastifyRequest) =>
      shadowing.has(routeOptions.url ?? '') && methodsAt(url)?.has(method) === false

    // What is left are routes that have found nothing themselves, as the static files do.
    app.setNotFoundHandler(async request => {
      throw unmatched(request)
    })

    function unmatched({ method, url }: FastifyRequest) {
      const methods = methodsAt(url)
      if (methods === undefined || methods.has(method)) return nothingThere()
      return new MethodNotAllowed(`This path does not take ${method}.`, {
        headers: { allow: allow(methods) },
      })
    }

    function methodsAt(url: string): Set<string> | undefined {
      return paths.find('GET', pathOf(url))?.store as Set<string> | undefined
    }
  },
  { name: 'unknown-routes' },
)

function covers(url: string, other: string): boolean {
  const segments = other.split('/')
  const own = url.split('/')
  return (
    own.length === segments.length &&
    own.every((segment, index) => segment.startsWith(':') || segment === segments[index])
  )
}

const allow = (methods: Set<string>) => [...methods, 'OPTIONS'].sort().join(', ')
const nothingThere = () => new NotFound('There is nothing at this address.')
