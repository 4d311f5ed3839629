import type { FastifyInstance } from 'fastify'
import { pathOf } from './problems.ts'

const SLASH = 0x2f
const QUESTION_MARK = 0x3f

/**
 * Tells from a URL alone, before any route is looked for, whether it is for those who run or explore the service. Their
 * routes say so, and share no first segment with others, or none could be told from its URL so cheaply.
 */
export function operationalPaths(app: FastifyInstance): (url: string) => boolean {
  const operational = new Set<string>()
  const ordinary = new Set<string>()
  app.addHook('onRoute', ({ url, config }) => {
    // The preflight route of @fastify/cors matches everything.
    if (url === '*') return
    const kind = config?.operational === true ? operational : ordinary
    kind.add(firstSegment(url))
  })
  app.addHook('onReady', async () => {
    for (const segment of operational) {
      if (ordinary.has(segment))
        throw new Error(`Of the routes below /${segment}, either all are operational or none is.`)
    }
  })
  return url => operational.has(firstSegment(url.charCodeAt(0) === SLASH ? url : pathOf(url)))
}

function firstSegment(path: string): string {
  let end = 1
  while (end < path.length && path.charCodeAt(end) !== SLASH && path.charCodeAt(end) !== QUESTION_MARK) end++
  return path.slice(1, end)
}
