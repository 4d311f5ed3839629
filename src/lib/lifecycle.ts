/** What the process is doing. Readiness tells it to the outside; only `serving` takes ordinary requests for granted. */
export type Phase = 'starting' | 'migrating' | 'serving' | 'draining'

export interface Lifecycle {
  phase: Phase
}
