import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import { watchHeap } from '../lib/heap.ts'
import { isEnding } from '../lib/lifecycle.ts'
import { createOverload, type OverloadReason } from '../lib/overload.ts'
import { createAdmission } from './admission.ts'
import { operationalPaths } from './operational-paths.ts'
import { exportOverload } from './overload-metrics.ts'
import { createSpells } from './overload-spells.ts'
import { createRefusal } from './refusal.ts'

export interface LoadShedding {
  /** Whether requests have been refused for so long that others should get them. */
  isLasting(): boolean
  /** What a request has to wait now for its turn, and then for a connection. */
  waitMs(): number
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined where it is switched off. */
    loadShedding: LoadShedding | undefined
  }
}

interface Options {
  config: Pick<Config, 'CORS_ORIGINS' | 'LOAD_SHEDDING'>
  /** The share of the heap that is in use, where that is not to be measured. */
  heap?: (now: number) => number
}

/**
 * Refuses requests while there is more to do than can be done, before Fastify hears of them. What is there for operators
 * is served always, and so is a preflight: without an answer to it, a page cannot read why its request was refused.
 */
export default fp(
  async (app, { config, heap }: Options) => {
    app.decorate('loadShedding', undefined)
    if (!config.LOAD_SHEDDING) return

    const watched = heap === undefined ? watchHeap() : { share: heap, end() {} }
    const overload = createOverload({
      line: () => admission.load(),
      pool: () => app.database.load(),
      heap: watched.share,
      isEmbedded: app.database.kind === 'embedded',
    })
    const count = exportOverload(app.metrics, overload)
    const spells = createSpells(overload, app.log)
    const isOperational = operationalPaths(app)
    const refuse = createRefusal({
      origins: config.CORS_ORIGINS,
      isEnding: () => isEnding(app.lifecycle.phase),
    })
    const admission = createAdmission<OverloadReason>({
      ...overload,
      serve: takeListener(app),
      refuse(request, response, reason) {
        count(reason)
        spells.refused(reason)
        refuse(request, response)
      },
      isExempt: request => isPreflight(request) || isOperational(request.url ?? ''),
    })

    app.server.on('request', admission.arrive)
    // Otherwise Node asks for the body before anybody could refuse it.
    app.server.on('checkContinue', admission.arrive)
    app.loadShedding = {
      isLasting: spells.isLasting,
      waitMs() {
        const { event_loop_wait_ms, database_wait_ms } = overload.figures(performance.now())
        return event_loop_wait_ms + database_wait_ms
      },
    }
    app.addHook('onClose', async () => {
      spells.end()
      watched.end()
    })
  },
  { name: 'load-shedding', dependencies: ['lifecycle', 'metrics'] },
)

const isPreflight = ({ method, headers }: IncomingMessage) =>
  method === 'OPTIONS' && headers['access-control-request-method'] !== undefined

/**
 * What Fastify does with requests. With a `serverFactory`, which is the official place to stand before it, it would no
 * longer apply its limits to the server, nor close it unless it listened, nor listen on both addresses of localhost.
 */
function takeListener({ server }: FastifyInstance) {
  const [listener] = server.listeners('request') as RequestListener[]
  if (listener === undefined) throw new Error('Fastify has no listener for requests.')
  server.removeAllListeners('request')
  return (request: IncomingMessage, response: ServerResponse) => {
    if (request.headers.expect !== undefined && request.httpVersion === '1.1') response.writeContinue()
    listener(request, response as Parameters<RequestListener>[1])
  }
}
