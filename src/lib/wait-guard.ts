interface WaitGuardOptions {
  /** A line that was longer than this, without exception, for `after_ms` does not go away by itself. */
  alarm_ms: number
  after_ms: number
  /** Then nobody is let in who would wait longer than this. */
  limit_ms: number
  /** It is over when nobody had to be refused for so long. */
  calm_ms: number
}

export interface WaitGuard {
  admits(now: number, wait_ms: number): boolean
  isOn(now: number): boolean
}

/**
 * Tells a burst from an overload, as CoDel does for packets. One limit cannot be right for both: what a hundred clients
 * of a benchmark, or a pause for garbage, leave behind is long and goes away, while a line that always stands only makes
 * everybody late. The short limit holds while it is on, and costs nothing then: 20 ms of work are always there to be done.
 */
export function createWaitGuard({ alarm_ms, after_ms, limit_ms, calm_ms }: WaitGuardOptions): WaitGuard {
  let on = false
  let refused_at = 0
  let long_since: number | undefined
  let looked_at = 0
  let seen_ms = 0

  return {
    admits(now, wait_ms) {
      if (on && now - refused_at > calm_ms) on = false
      if (!on && isLasting(now, wait_ms)) on = true
      if (!on || wait_ms <= limit_ms) return true
      refused_at = now
      long_since = undefined
      return false
    },
    isOn: now => on && now - refused_at <= calm_ms,
  }

  function isLasting(now: number, wait_ms: number): boolean {
    // Nobody looked for so long that all who waited then have had their turn.
    if (now - looked_at > seen_ms) long_since = undefined
    looked_at = now
    seen_ms = wait_ms
    if (wait_ms <= alarm_ms) long_since = undefined
    else long_since ??= now
    return long_since !== undefined && now - long_since >= after_ms
  }
}
