import { Type } from '@sinclair/typebox'
import { purgeDeleted } from '../../events/recorded-purge.ts'
import { defineJob } from '../../jobs/job.ts'
import { itemPurged } from './events.ts'
import { items } from './tables.ts'

/** In one transaction: some milliseconds of work, so that nobody waits for it. */
const AT_ONCE = 200

export const purgeItems = defineJob({
  name: 'items.purge',
  summary: 'Removes items for good, PURGE_AFTER_DAYS after they were deleted',
  payload: Type.Object({}, { additionalProperties: false }),
  schedule: '43 3 * * *',
  lease_seconds: 120,
  run: (_payload, { config: { PURGE_AFTER_DAYS: days }, database: { db }, actor, signal }) =>
    purgeDeleted(db, actor, {
      table: items,
      owner: items.user_id,
      type: itemPurged,
      days,
      at_once: AT_ONCE,
      signal,
    }),
})
