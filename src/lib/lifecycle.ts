/**
 * What the process is doing. Readiness tells it to the outside.
 * `replaced`: it ends, but others go on serving the same port, so there is nothing to tell.
 */
export type Phase = 'starting' | 'migrating' | 'serving' | 'replaced' | 'draining'

export interface Lifecycle {
  phase: Phase
}

export const isEnding = (phase: Phase) => phase === 'replaced' || phase === 'draining'
export const takesTraffic = (phase: Phase) => phase === 'serving' || phase === 'replaced'
