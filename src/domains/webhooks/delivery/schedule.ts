import type { Attempt } from '../../../lib/outbound.ts'
import type { Outcome } from './leases.ts'

const MINUTE = 60
const HOUR = 3_600

/** How long to wait after each attempt that fails: as Standard Webhooks has it, about three days in all. */
export const WAITS_SECONDS: readonly number[] = [
  5,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
]

/** Up to a tenth longer, so that what failed together does not come back together. */
const JITTER = 0.1

/** A receiver that asks for more would never hear of anything. */
const LONGEST_PAUSE_SECONDS = 24 * HOUR

const GONE = 410
/** With these, a receiver speaks of itself and not of one message. */
const OVERLOADED = [429, 502, 503, 504]

export interface Verdict extends Omit<Outcome, 'attempt'> {
  /** The receiver wants nothing any more. */
  gone: boolean
}

/** What follows from an attempt, of which `tries` went before. A ping is tried once: somebody is waiting for what comes of it. */
export function verdictOn(
  { status, error, retry_after_seconds }: Pick<Attempt, 'status' | 'error' | 'retry_after_seconds'>,
  tries: number,
  isPing: boolean,
): Verdict {
  const done = { wait_seconds: null, pause_seconds: null, gone: false }
  if (error === null) return { ...done, status: 'succeeded' }
  if (status === GONE) return { ...done, status: 'failed', gone: true }
  const asked = Math.min(retry_after_seconds ?? 0, LONGEST_PAUSE_SECONDS)
  const pause_seconds = asked > 0 && OVERLOADED.includes(status ?? 0) ? asked : null
  const wait = isPing ? undefined : WAITS_SECONDS[tries]
  if (wait === undefined) return { ...done, status: 'failed', pause_seconds }
  const wait_seconds = Math.max(wait * (1 + Math.random() * JITTER), asked)
  return { status: 'pending', wait_seconds, pause_seconds, gone: false }
}
