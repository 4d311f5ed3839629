import type { FastifyInstance, RouteOptions } from 'fastify'
import { pathOf } from './problems.ts'

const SLASH = 0x2f
const QUESTION_MARK = 0x3f

/**
 * Tells from a URL alone, before any route is looked for, whether it is for those who run or explore the service. Their
 * routes say so, and share no first segment with others, or none could be told from its URL so cheaply.
 */
export function operationalPaths(app: FastifyInstance): (url: string) => boolean {
  const routes: RouteOptions[] = []
  let operational = new Set<string>()
  app.addHook('onRoute', route => {
    // The preflight route of @fastify/cors matches everything.
    if (route.url !== '*') routes.push(route)
  })
  // Not before, because another plugin may say so of routes that are not ours.
  app.addHook('onReady', async () => {
    const segments = (those: boolean) =>
      new Set(
        routes
          .filter(({ config }) => (config?.operational === true) === those)
          .map(({ url }) => firstSegment(url)),
      )
    operational = segments(true)
    const ordinary = segments(false)
    const both = [...operational].find(segment => ordinary.has(segment))
    if (both !== undefined)
      throw new Error(`Of the routes below /${both}, either all are operational or none is.`)
  })
  return url => operational.has(firstSegment(url.charCodeAt(0) === SLASH ? url : pathOf(url)))
}

function firstSegment(path: string): string {
  let end = 1
  while (end < path.length && path.charCodeAt(end) !== SLASH && path.charCodeAt(end) !== QUESTION_MARK) end++
  return path.slice(1, end)
}
