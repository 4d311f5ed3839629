import { lockUser } from '../../accounts/users.ts'
import { momentOf } from '../../db/moments.ts'
import { executePrepared } from '../../db/raw.ts'
import { inTransaction } from '../../db/transaction.ts'
import type { Db, Tx } from '../../db/types.ts'
import { stateOf } from '../../events/record.ts'
import {
  changeRecorded,
  demandChanged,
  FIRST_OWN,
  insertRecorded,
  recordedChange,
  recordedInsert,
  type Target,
} from '../../events/recorded-change.ts'
import { patternFaults } from '../../events/type-patterns.ts'
import type { Actor } from '../../lib/actor.ts'
import { newId } from '../../lib/id.ts'
import type { Outbound } from '../../lib/outbound.ts'
import type { Precondition } from '../../lib/precondition.ts'
import { Conflict, faultyFields, NotFound } from '../../lib/problems.ts'
import type { Vault } from '../../lib/vault.ts'
import type { Reach } from './access.ts'
import { webhookCreated, webhookDeleted, webhookRotated, webhookUpdated } from './events.ts'
import { MOST_WEBHOOKS, OVERLAP_HOURS } from './limits.ts'
import { countWebhooks, findWebhook, selectWebhooks } from './queries.ts'
import {
  type IssuedWebhook,
  type NewWebhook,
  SORT,
  sortedWebhooks,
  type Webhook,
  type WebhookChanges,
  type WebhookListParameters,
  type WebhookPage,
} from './schemas.ts'
import { newSecret } from './secrets.ts'

/** Another owner's webhook is as good as none. */
export const noSuchWebhook = () => new NotFound('There is no such webhook.')

/** Newest first unless told, and sorted by nothing else. */
export async function listWebhooks(db: Db, reach: Reach, asked: WebhookListParameters): Promise<WebhookPage> {
  const place = { ...asked, ...SORT }
  return sortedWebhooks.page(place, await selectWebhooks(db, reach, sortedWebhooks.slice(place)))
}

export async function viewWebhook(db: Db, id: string, reach: Reach): Promise<Webhook> {
  const webhook = await findWebhook(db, id, reach)
  if (webhook === undefined) throw noSuchWebhook()
  return webhook
}

/** What is asked of an address is asked before anything is locked: looking up its name takes as long as it takes. */
export async function createWebhook(
  db: Db,
  { outbound, vault }: { outbound: Outbound; vault: Vault },
  actor: Actor,
  user_id: string,
  { url, description = null, types = ['*'], scope = 'own' }: NewWebhook,
): Promise<IssuedWebhook> {
  await demandSound(outbound, { url, types })
  const secret = newSecret()
  const own = [newId(), user_id, url, description, JSON.stringify(types), scope, vault.seal(secret)]
  const webhook = await inTransaction(db, async tx => {
    await demandRoom(tx, user_id)
    return webhookOf(await insertRecorded(tx, CREATE, own, actor, webhookCreated))
  })
  return { ...webhook, secret }
}

async function demandSound(outbound: Outbound, { url, types = [] }: WebhookChanges) {
  const faults = types.flatMap((pattern, index) =>
    patternFaults(pattern, { in: 'body', pointer: `/types/${index}` }),
  )
  const refusal = url === undefined ? undefined : await outbound.refusal(url)
  if (refusal !== undefined) {
    faults.push({ in: 'body', pointer: '/url', code: 'target', message: refusal })
  }
  if (faults.length > 0) throw faultyFields(faults)
}

/** The lock on the user lets only one of several requests at a time count and add. */
async function demandRoom(tx: Tx, user_id: string) {
  await lockUser(tx, user_id)
  if ((await countWebhooks(tx, user_id)) >= MOST_WEBHOOKS) {
    throw new Conflict(
      `You have ${MOST_WEBHOOKS} webhooks, which is as many as there may be; delete one first.`,
    )
  }
}

const subject = {
  table: 'webhooks',
  columns: [
    ...['id', 'user_id', 'url', 'description', 'types', 'scope', 'enabled', 'disabled_reason', 'disabled_at'],
    ...['failing_since', 'version', 'created_at', 'updated_at'],
  ]
    .map(column => `subject.${column}`)
    .concat(
      'case when subject.previous_secret_expires_at > now() then subject.previous_secret_expires_at end as previous_secret_expires_at',
    )
    .join(', '),
  owner: 'user_id',
}

const CREATE = recordedInsert({
  ...subject,
  values: {
    id: '$1::uuid',
    user_id: '$2::uuid',
    url: '$3::text',
    description: '$4::text',
    types: '$5::jsonb',
    scope: '$6::text',
    secret: '$7::text',
  },
  type: webhookCreated,
})

/** The first own parameter of each change: whether only those that hear of what is their owner's own are within reach. */
const OWN_ONLY = `$${FIRST_OWN}::boolean`
const isThere = `subject.deleted_at is null and (not ${OWN_ONLY} or subject.scope = 'own')`

const CHANGES = `$${FIRST_OWN + 1}::jsonb`
const enabled = `coalesce((${CHANGES} ->> 'enabled')::boolean, subject.enabled)`
const isNewStart = `(${CHANGES} ->> 'url' <> subject.url or ${enabled} and not subject.enabled)`

const UPDATE = recordedChange({
  ...subject,
  among: isThere,
  values: {
    url: `coalesce(${CHANGES} ->> 'url', subject.url)`,
    // Null is a description that is taken away.
    description: `case when ${CHANGES} ? 'description' then ${CHANGES} ->> 'description' else subject.description end`,
    types: `coalesce(${CHANGES} -> 'types', subject.types)`,
    scope: `coalesce(${CHANGES} ->> 'scope', subject.scope)`,
    enabled,
    disabled_reason: `case when ${enabled} then null
      when subject.enabled then coalesce(${CHANGES} ->> 'disabled_reason', 'owner') else subject.disabled_reason end`,
    disabled_at: `case when ${enabled} then null when subject.enabled then now() else subject.disabled_at end`,
    // What another address, or the same one before it was mended, did is not held against it, and what waits is sent.
    failing_since: `case when ${isNewStart} then null else subject.failing_since end`,
    paused_until: `case when ${isNewStart} then null else subject.paused_until end`,
    due_at: `case when ${isNewStart} then now() else subject.due_at end`,
  },
  type: webhookUpdated,
  typeName: plain =>
    `case when before.enabled and not after.enabled then 'webhook.disabled' else ${plain} end`,
})

export interface WebhookTarget {
  id: string
  reach: Reach
  precondition: Precondition
}

/** What is different, by `PATCH` or because it is disabled or enabled: whoever follows it hears of it either way. */
export async function updateWebhook(
  db: Db,
  outbound: Outbound,
  actor: Actor,
  target: WebhookTarget,
  changes: WebhookChanges,
): Promise<Webhook> {
  await demandSound(outbound, changes)
  const change = { own_only: target.reach.own_only, changes }
  const mayBeginAnew = changes.url !== undefined || changes.enabled === true
  if (!mayBeginAnew) return changeWebhook(db, actor, ownTarget(target), change)
  return inTransaction(db, async tx => {
    await executePrepared(tx, BEGIN_ANEW, [target.id, target.reach.user_id, changes.url, changes.enabled])
    return changeWebhook(tx, actor, ownTarget(target), change)
  })
}

/**
 * What has been tried in vain at a receiver that has been mended, or moved, is sent now and not in a day: first of all that
 * waits, as it came first. Before the webhook itself is locked, as elsewhere.
 */
const BEGIN_ANEW = `
  update webhook_deliveries set tries = 0, next_attempt_at = created_at
  where webhook_id = $1::uuid and status = 'pending' and tries > 0 and exists (
    select from webhooks
    where id = $1::uuid and user_id = $2::uuid and deleted_at is null
      and (url <> $3::text or $4::boolean and not enabled)
  )`

const ownTarget = ({ id, reach, precondition }: WebhookTarget): Target => ({
  id,
  owner_id: reach.user_id,
  precondition,
})

interface Change {
  own_only: boolean
  changes: WebhookChanges & { disabled_reason?: Webhook['disabled_reason'] }
}

export async function changeWebhook(
  db: Db,
  actor: Actor,
  target: Target,
  { own_only, changes }: Change,
): Promise<Webhook> {
  return changed(await changeRecorded(db, UPDATE, [own_only, changes], target, actor, webhookUpdated))
}

const ROTATE = recordedChange({
  ...subject,
  among: isThere,
  values: {
    secret: `$${FIRST_OWN + 1}::text`,
    previous_secret: 'subject.secret',
    previous_secret_expires_at: `now() + interval '${OVERLAP_HOURS} hours'`,
  },
  type: webhookRotated,
})

/** A new secret in the place of the old one, with which messages are signed as well for a day; one before it is gone. */
export async function rotateSecret(
  db: Db,
  vault: Vault,
  actor: Actor,
  target: WebhookTarget,
): Promise<IssuedWebhook> {
  const secret = newSecret()
  const own = [target.reach.own_only, vault.seal(secret)]
  return {
    ...changed(await changeRecorded(db, ROTATE, own, ownTarget(target), actor, webhookRotated)),
    secret,
  }
}

const DELETE = recordedChange({
  ...subject,
  among: isThere,
  values: {
    deleted_at: 'now()',
    secret: 'null::text',
    previous_secret: 'null::text',
    due_at: 'null::timestamptz',
  },
  type: webhookDeleted,
  changes: `changes_between(${stateOf('before', webhookDeleted)}, null)`,
})

/** For good, and nothing more is sent. The log of its deliveries goes later, in portions. */
export async function deleteWebhook(db: Db, actor: Actor, target: WebhookTarget): Promise<void> {
  changed(await changeRecorded(db, DELETE, [target.reach.own_only], ownTarget(target), actor, webhookDeleted))
}

const changed = ([row]: Record<string, unknown>[]): Webhook =>
  webhookOf(demandChanged(row, { missing: noSuchWebhook, foreign: noSuchWebhook }))

const webhookOf = ({ deleted_at: _deleted, ...row }: Record<string, unknown>): Webhook =>
  ({
    ...row,
    ...Object.fromEntries(
      MOMENTS.map(column => [column, row[column] === null ? null : momentOf(row[column])]),
    ),
  }) as Webhook

const MOMENTS = [
  'disabled_at',
  'failing_since',
  'previous_secret_expires_at',
  'created_at',
  'updated_at',
] as const
