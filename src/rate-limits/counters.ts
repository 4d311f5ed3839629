/** One of the counts that a request raises by one. */
export interface Counter {
  key: string
  quota: number
  seconds: number
}

export interface Count {
  used: number
  /** Until it begins anew. */
  resets_in_ms: number
}

export interface Counted {
  /** One of them was used up already, and none has been raised. */
  refused: boolean
  /** In the order of the counters, after raising. */
  counts: readonly Count[]
}

/**
 * Counts in windows that begin with the first request in them. All counters of a request are raised together or not at
 * all, so that who is refused by one limit does not use up another, and who goes on trying is not kept out by that.
 */
export interface Counters {
  /** At once where it can. */
  take(counters: readonly Counter[]): Counted | Promise<Counted>
  look(counters: readonly Counter[]): Counted | Promise<Counted>
}
