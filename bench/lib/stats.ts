export function median(values: number[]): number {
  return quantile(values, 0.5)
}

/** The smallest value that at least this share of them does not exceed. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? Number.NaN
}

export function countBy<T>(values: Iterable<T>, keyOf: (value: T) => string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const value of values) {
    const key = keyOf(value)
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

/** `200 × 14, 503 × 2` */
export const describeCounts = (counts: Map<string, number>): string =>
  [...counts]
    .sort()
    .map(([key, count]) => `${key} × ${count}`)
    .join(', ') || 'none'

export const ms = (value: number): string => `${Math.round(value)} ms`
