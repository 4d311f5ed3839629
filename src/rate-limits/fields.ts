import type { Count } from './counters.ts'
import type { Policy } from './policies.ts'

// The header fields of draft-ietf-httpapi-ratelimit-headers-10: lists of strings with parameters (RFC 9651).

/** All that holds: `"login";q=10;w=60, "login-account";q=10;w=60`. */
export const policyField = (policies: readonly Policy[]): string =>
  policies.map(({ name, quota, seconds }) => `"${name}";q=${quota};w=${seconds}`).join(', ')

/** What is left, and the seconds until there is the whole quota again: `"login";r=9;t=60`. */
export const limitField = (policies: readonly Policy[], counts: readonly Count[]): string =>
  policies.map((policy, index) => limitItem(policy, counts[index] as Count)).join(', ')

const limitItem = ({ name, quota }: Policy, count: Count) =>
  `"${name}";r=${leftOf(quota, count)};t=${secondsUntil(count)}`

export const leftOf = (quota: number, { used }: Count): number => Math.max(quota - used, 0)

/** Rounded up: a second too early is a second refusal. */
export const secondsUntil = ({ resets_in_ms }: Count): number => Math.max(Math.ceil(resets_in_ms / 1000), 1)
