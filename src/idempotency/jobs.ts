import { Type } from '@sinclair/typebox'
import { defineJob } from '../jobs/job.ts'
import { removeExpired } from './keys.ts'

/** Some milliseconds of work, so that nobody waits for it. */
const AT_ONCE = 1000

export const expireIdempotencyKeys = defineJob({
  name: 'idempotency.expire',
  summary: 'Removes idempotency keys and their answers a day after they were used',
  payload: Type.Object({}, { additionalProperties: false }),
  schedule: '53 * * * *',
  async run(_payload, { database, signal }) {
    do signal.throwIfAborted()
    while ((await removeExpired(database.db, AT_ONCE)) === AT_ONCE)
  },
})
