import { Type } from '@sinclair/typebox'
import { inTransaction } from '../../db/transaction.ts'
import { dropEventsBefore, ensurePartitions } from '../../events/partitions.ts'
import { record } from '../../events/record.ts'
import { defineJob } from '../../jobs/job.ts'
import { auditExpired } from './events.ts'
import { countUnsealed, markExpired, sealNextEvents } from './seals.ts'

const DAY_MS = 86_400_000

const nothing = Type.Object({}, { additionalProperties: false })

export const sealEvents = defineJob({
  name: 'audit.seal',
  summary: 'Seals the events that no seal covers yet',
  payload: nothing,
  schedule: '* * * * *',
  lease_seconds: 60,
  async run(_payload, { database, logger, signal }) {
    for (;;) {
      signal.throwIfAborted()
      const seal = await sealNextEvents(database.db)
      if (seal === undefined) return
      // Kept apart from the database, these lines show if somebody makes the whole chain anew.
      logger.info(seal, 'events sealed')
    }
  },
})

export const makePartitions = defineJob({
  name: 'events.make-partitions',
  summary: 'Makes the partitions of events for the months to come',
  payload: nothing,
  schedule: '17 3 * * *',
  run: (_payload, { database }) => ensurePartitions(database.db),
})

export const expireEvents = defineJob({
  name: 'events.expire',
  summary: 'Drops the months of events that AUDIT_RETENTION_DAYS no longer keeps',
  payload: nothing,
  schedule: '47 3 * * *',
  async run(_payload, { config, database, logger, actor }) {
    if (config.AUDIT_RETENTION_DAYS === undefined) return
    const limit = new Date(Date.now() - config.AUDIT_RETENTION_DAYS * DAY_MS)
    if ((await countUnsealed(database.db, limit)) > 0) throw new Error('Not all of them are sealed yet.')
    const before = await inTransaction(database.db, async tx => {
      const boundary = await dropEventsBefore(tx, limit)
      if (boundary === undefined) return undefined
      await markExpired(tx, boundary)
      const after = { before: boundary.toISOString() }
      await record(tx, actor, auditExpired, { subject_id: null, owner_id: null, after })
      return boundary
    })
    if (before !== undefined) logger.info({ before }, 'events expired')
  },
})
