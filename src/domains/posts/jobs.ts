import { Type } from '@sinclair/typebox'
import { purgeDeleted } from '../../events/recorded-purge.ts'
import { defineJob } from '../../jobs/job.ts'
import { postPurged } from './events.ts'
import { posts } from './tables.ts'

/** In one transaction, which takes 20 ms, and 200 where posts are as long as they may be. */
const AT_ONCE = 200

export const purgePosts = defineJob({
  name: 'posts.purge',
  summary: 'Removes posts for good, PURGE_AFTER_DAYS after they were deleted',
  payload: Type.Object({}, { additionalProperties: false }),
  schedule: '41 3 * * *',
  lease_seconds: 120,
  run: (_payload, { config: { PURGE_AFTER_DAYS: days }, database: { db }, actor, signal }) =>
    purgeDeleted(db, actor, {
      table: posts,
      owner: posts.author_id,
      type: postPurged,
      days,
      at_once: AT_ONCE,
      signal,
    }),
})
