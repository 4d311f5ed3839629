import type { FastifyBaseLogger } from 'fastify'
import type { Overload, OverloadReason } from '../lib/overload.ts'

/** How often is looked whether it is over. */
const LOOK_EVERY_MS = 100

/**
 * Whoever sends no more requests to an overloaded process sends them to the others, which then are, too. So it has to
 * last before readiness tells, and processes that were overloaded at the same moment do not leave at the same moment.
 */
const LASTING_MS = 5_000
const APART_MS = 5_000

/** From the first request that was refused until none has to be: what is told of it, in two lines for however many. */
export function createSpells(
  overload: Pick<Overload, 'reasons' | 'figures'>,
  log: Pick<FastifyBaseLogger, 'warn' | 'info'>,
  clock = () => performance.now(),
) {
  let since: number | undefined
  let lasting_at = 0
  let refused = 0
  let timer: NodeJS.Timeout | undefined

  return {
    refused(reason: OverloadReason) {
      if (since === undefined) begin(reason)
      refused++
    },
    /** Whether requests have been refused for so long, without a pause, that others should get them. */
    isLasting(): boolean {
      const now = clock()
      return since !== undefined && now >= lasting_at && overload.reasons(now).length > 0
    },
    look,
    end: () => clearInterval(timer),
  }

  function begin(reason: OverloadReason) {
    since = clock()
    lasting_at = since + LASTING_MS + Math.random() * APART_MS
    refused = 0
    timer = setInterval(look, LOOK_EVERY_MS).unref()
    log.warn({ reason, ...overload.figures(since) }, 'overloaded: refusing requests')
  }

  /** Whether it is over. */
  function look() {
    const now = clock()
    if (since === undefined || overload.reasons(now).length > 0) return
    log.info({ refused, duration_ms: Math.round(now - since) }, 'no longer overloaded')
    since = undefined
    clearInterval(timer)
  }
}
