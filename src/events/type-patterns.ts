import { Type } from '@sinclair/typebox'
import type { ProblemFault } from '../lib/problem.ts'
import { allEventTypes } from './event-type.ts'

export const LONGEST_PATTERN = 100

/** How types begin is written with an asterisk; alone, it stands for all of them. */
export const TypePattern = Type.String({
  pattern: '^([a-z_]+(\\.[a-z_]*)?\\*?|\\*)$',
  maxLength: LONGEST_PATTERN,
  description: 'One of `EventType`, or how some of them begin, as in `item.*`; `*` is all of them.',
  examples: ['item.*'],
  'x-message': 'must be a type of events, such as item.created, or the beginning of some, such as item.*',
})

/** What is wrong with a pattern that stands for no type: whoever misspelt a word would wait for ever. */
export const patternFaults = (
  pattern: string,
  place: Pick<ProblemFault, 'in' | 'pointer'>,
): ProblemFault[] => {
  if (allEventTypes().some(({ name }) => matches(name, pattern))) return []
  const message = `${EXPECTED}; ${pattern.slice(0, LONGEST_PATTERN)} is none`
  return [{ ...place, code: 'unknown_type', message }]
}

const EXPECTED = 'must be a type of events that there is, such as item.created or item.*'

/** Whether a type is among those that one of the patterns stands for; without patterns, every one is. */
export const isAmong = (type: string, patterns: readonly string[]): boolean =>
  patterns.length === 0 || patterns.some(pattern => matches(type, pattern))

const matches = (type: string, pattern: string): boolean =>
  pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern
