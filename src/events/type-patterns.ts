import { Type } from '@sinclair/typebox'
import { allEventTypes } from './event-type.ts'

/** How types begin is written with an asterisk; alone, it stands for all of them. */
export const TypePattern = Type.String({
  pattern: '^([a-z_]+(\\.[a-z_]*)?\\*?|\\*)$',
  maxLength: 100,
  description: 'A type, or how types begin: `item.*`.',
  'x-message': 'must be a type of events, such as item.created, or the beginning of some, such as item.*',
})

/** Whether there is any type that it stands for: a word that was misspelt would wait for ever. */
export const isKnownPattern = (pattern: string): boolean =>
  allEventTypes().some(({ name }) => matches(name, pattern))

/** Whether a type is among those that one of the patterns stands for; without patterns, every one is. */
export const isAmong = (type: string, patterns: readonly string[]): boolean =>
  patterns.length === 0 || patterns.some(pattern => matches(type, pattern))

const matches = (type: string, pattern: string): boolean =>
  pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern
