import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { addFamily, type Sample } from '../lib/metric-family.ts'
import { listOf } from './on-route.ts'

/** What is kept of an operation: how often it answered what, and how long that took. */
interface Tally {
  answers: Map<string, Map<number, number>>
  /** How many took at most as long as the bound, and longer than the one before; the last one for what is beyond all. */
  buckets: number[]
  seconds: number
}

type Done = () => void

/** In seconds. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

const NAME = 'plinth_http_request_duration_seconds'

/** Where there is nothing, and what a library serves: the files of the documentation's page, and preflights. */
const UNKNOWN = 'unknown'
const UNLISTED = 'unlisted'

/**
 * Counts and times what was answered, by operation: never by path, of which there are as many as anybody makes up. Counted
 * here and told when asked, for 13 ns a request: prom-client makes a text of the labels each time, also of those that are
 * bound, which takes 450 for a counter and a histogram.
 */
export default fp(
  async app => {
    const tallies = new Map<string, Tally>()

    app.addHook('onRoute', route => {
      route.onResponse = [...listOf(route.onResponse), counterOf(route.schema?.operationId ?? UNLISTED)]
    })
    const countUnknown = counterOf(UNKNOWN)
    app.addHook('onResponse', (request, reply, done) => {
      if (request.is404) countUnknown(request, reply, done)
      else done()
    })

    addFamily(app.metrics, {
      name: 'plinth_http_requests_total',
      help: 'Requests that were answered, by operation, method and status.',
      type: 'counter',
      values: () => [...tallies].flatMap(([operation, tally]) => answersOf(operation, tally)),
    })
    addFamily(app.metrics, {
      name: NAME,
      help: 'How long requests took, from their headers to the last byte of the answer.',
      type: 'histogram',
      values: () => [...tallies].flatMap(([operation, tally]) => durationsOf(operation, tally)),
    })

    function counterOf(operation: string) {
      const tally = tallies.get(operation) ?? newTally()
      tallies.set(operation, tally)
      return ({ method }: FastifyRequest, reply: FastifyReply, done: Done) => {
        note(tally, method, reply.statusCode, reply.elapsedTime / 1000)
        done()
      }
    }
  },
  { name: 'request-metrics', dependencies: ['metrics'] },
)

const newTally = (): Tally => ({ answers: new Map(), buckets: [...BOUNDS, 0].map(() => 0), seconds: 0 })

function note(tally: Tally, method: string, status: number, seconds: number) {
  let statuses = tally.answers.get(method)
  if (statuses === undefined) {
    statuses = new Map()
    tally.answers.set(method, statuses)
  }
  statuses.set(status, (statuses.get(status) ?? 0) + 1)
  let bucket = 0
  while (seconds > (BOUNDS[bucket] ?? Number.POSITIVE_INFINITY)) bucket++
  tally.buckets[bucket] = (tally.buckets[bucket] ?? 0) + 1
  tally.seconds += seconds
}

const answersOf = (operation: string, { answers }: Tally): Sample[] =>
  [...answers].flatMap(([method, statuses]) =>
    [...statuses].map(([status, value]) => ({ value, labels: { operation, method, status } })),
  )

/** Nothing of an operation that nobody has called yet. */
function durationsOf(operation: string, { buckets, seconds }: Tally): Sample[] {
  let count = 0
  const counted = buckets.map((own, index) => {
    count += own
    return { metricName: `${NAME}_bucket`, value: count, labels: { le: BOUNDS[index] ?? '+Inf', operation } }
  })
  if (count === 0) return []
  return [
    ...counted,
    { metricName: `${NAME}_sum`, value: seconds, labels: { operation } },
    { metricName: `${NAME}_count`, value: count, labels: { operation } },
  ]
}
