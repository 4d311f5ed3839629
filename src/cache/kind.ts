import type { Committed } from '../events/committed.ts'
import { isAmong } from '../events/type-patterns.ts'

/** A kind of thing that is read far more often than it changes, and is therefore kept. */
export interface Kept {
  /** In metrics, and in the names of what is kept. */
  name: string
  /** The types of events, as patterns, after which it may be another. */
  changedBy: readonly string[]
  /** Whose events these are: `anybody`, or for each `owner` apart, who then is the only one to read it. */
  of: 'anybody' | 'owner'
  /** How long a change may stay unseen where the word of it is lost on its way to another process. */
  ttl_seconds: number
  /** In the memory of a process. The one that has not been asked for the longest goes first. */
  most_entries: number
  /** Larger ones are made anew each time, so that the memory is bounded by `most_entries` of these. */
  most_characters: number
  /** Whether it is what was kept: Redis may hold what another version wrote, or nobody of ours. */
  isWhole(value: unknown): boolean
}

/** The name of what is told about it: who read it before is told apart from who reads it after a change. */
export const subjectOf = ({ name, of }: Kept, owner_id: string | null): string =>
  of === 'anybody' ? name : `${name}:${owner_id}`

/** Which of these things may be others after this. */
export const changedSubjects = (kept: readonly Kept[], { type, owner_id }: Committed): string[] =>
  kept
    .filter(({ of, changedBy }) => isAmong(type, changedBy) && (of === 'anybody' || owner_id !== null))
    .map(one => subjectOf(one, owner_id))
