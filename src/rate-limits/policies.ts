import type { Config } from '../config.ts'
import type { Tier } from '../lib/access.ts'
import { readRates } from '../lib/rates.ts'

/** What somebody may do how often. */
export interface Policy {
  /** As the caller sees it in `RateLimit-Policy`. */
  name: string
  quota: number
  seconds: number
  /** What is counted together: its counters are found by this and by whom it is about. */
  counted_as: string
}

/** Those who are not signed in are a tier, too. */
export type CallerTier = 'anonymous' | Tier

export type TierPolicies = Readonly<Record<CallerTier, readonly Policy[]>>

/** The quota of each tier, for everything that does not say otherwise. */
export function tierPolicies(config: Config): TierPolicies {
  return {
    anonymous: policiesOf('anonymous', config.RATELIMIT_DEFAULT, 'tier'),
    standard: policiesOf('standard', config.RATELIMIT_STANDARD, 'tier'),
    premium: policiesOf('premium', config.RATELIMIT_PREMIUM, 'tier'),
  }
}

/** Whoever comes into another tier has another quota; what he has used of it is the same, and so is its counter. */
export function policiesOf(name: string, text: string, counted_as = name): Policy[] {
  const rates = readRates(text)
  if (rates === undefined) throw new Error(`${text} is no rate.`)
  return rates.map(rate => ({
    name: rates.length === 1 ? name : `${name}-per-${rate.unit}`,
    quota: rate.quota,
    seconds: rate.seconds,
    counted_as: `${counted_as}:${rate.seconds}`,
  }))
}
