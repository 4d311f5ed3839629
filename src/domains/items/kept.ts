import type { Kept } from '../../cache/kind.ts'

const STATUSES = ['total', 'draft', 'published', 'archived']

/** How many items an owner has. */
export const itemStats: Kept = {
  name: 'item_stats',
  changedBy: ['item.*'],
  of: 'owner',
  ttl_seconds: 15,
  // Less than 2 MB.
  most_entries: 5_000,
  most_characters: 0,
  isWhole: value => STATUSES.every(name => Number.isSafeInteger(Object(value)[name])),
}
