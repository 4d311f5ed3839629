import { Type } from '@sinclair/typebox'
import { executePrepared } from '../../db/raw.ts'
import type { Db } from '../../db/types.ts'
import { defineJob } from '../../jobs/job.ts'
import { resealing } from '../../jobs/reseal.ts'
import { firstIdAt } from '../../lib/id.ts'
import { DELIVERIES_KEPT_DAYS } from './limits.ts'
import { SECRETS_PURPOSE } from './secrets.ts'
import { webhooks } from './tables.ts'

const DAY_MS = 86_400_000

/** In one statement, which takes some ten milliseconds. */
const AT_ONCE = 1_000

export const resealWebhookSecrets = resealing({
  name: 'webhooks.reseal-secrets',
  summary: 'Seals the secrets of webhooks with JWT_SECRET_KEY, so that JWT_SECRET_KEY_PREVIOUS can go',
  schedule: '9 4 * * *',
  purpose: SECRETS_PURPOSE,
  table: webhooks,
  columns: [webhooks.secret, webhooks.previous_secret],
})

export const expireDeliveries = defineJob({
  name: 'webhooks.expire',
  summary: `Removes deliveries of more than ${DELIVERIES_KEPT_DAYS} days ago, and webhooks that were deleted`,
  payload: Type.Object({}, { additionalProperties: false }),
  schedule: '52 3 * * *',
  lease_seconds: 60,
  async run(_payload, { database: { db }, signal }) {
    const limit = new Date(Date.now() - DELIVERIES_KEPT_DAYS * DAY_MS)
    for await (const webhook of allWebhooks(db)) {
      do signal.throwIfAborted()
      while ((await removeDeliveries(db, webhook, limit)) === AT_ONCE)
      await removeIfDeleted(db, webhook.id)
    }
  },
})

interface KnownWebhook {
  id: string
  /** Nobody looks at what was sent to it any more. */
  deserted: boolean
}

async function* allWebhooks(db: Db): AsyncGenerator<KnownWebhook> {
  let after: string | null = null
  for (;;) {
    const rows = (await executePrepared(db, NEXT, [after, AT_ONCE])) as unknown as KnownWebhook[]
    yield* rows
    if (rows.length < AT_ONCE) return
    after = rows.at(-1)?.id ?? null
  }
}

const NEXT = `
  select webhooks.id, webhooks.deleted_at is not null or users.deleted_at is not null as deserted
  from webhooks join users on users.id = user_id
  where $1::uuid is null or webhooks.id > $1::uuid order by webhooks.id limit $2::int`

/**
 * Of a webhook that is deleted, as of one whose owner is, all of them, in portions: together they may take longer than a
 * statement is allowed, and the removal of the user, which takes them along, is one.
 */
async function removeDeliveries(db: Db, { id, deserted }: KnownWebhook, before: Date): Promise<number> {
  return (await executePrepared(db, REMOVE, [id, deserted, firstIdAt(before), before, AT_ONCE])).length
}

const REMOVE = `
  delete from webhook_deliveries
  where webhook_id = $1::uuid and id = any(array(
    select id from webhook_deliveries
    where webhook_id = $1::uuid
      -- The id tells the age of the event, which may have been sent again since.
      and ($2::boolean or id < $3::uuid and created_at < $4::timestamptz
        -- What waits so long for its webhook to be enabled, or its owner to be back, has been waited for long enough.
        and coalesce(next_attempt_at < $4::timestamptz, true))
    order by id limit $5::int
  ))
  returning id`

const removeIfDeleted = (db: Db, id: string) =>
  executePrepared(db, 'delete from webhooks where id = $1::uuid and deleted_at is not null', [id])
