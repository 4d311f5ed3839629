import type { Db } from '../../db/types.ts'
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
import type { Actor } from '../../lib/actor.ts'
import { newId } from '../../lib/id.ts'
import { NotFound } from '../../lib/problems.ts'
import { itemCreated, itemDeleted, itemRestored, itemUpdated } from './events.ts'
import { findItem, ITEM_COLUMNS, itemOf } from './queries.ts'
import type { Item, ItemChanges, NewItem } from './schemas.ts'

/** Another owner's item is as good as none. */
export const noSuchItem = () => new NotFound('There is no such item.')

export async function viewItem(db: Db, id: string, owner_id: string | null): Promise<Item> {
  const item = await findItem(db, id, owner_id)
  if (item === undefined) throw noSuchItem()
  return item
}

export async function createItem(db: Db, actor: Actor, user_id: string, fields: NewItem): Promise<Item> {
  const { title, description, status, price, metadata } = fields
  const own = [newId(), user_id, title, description, status, price, metadata]
  return itemOf(await insertRecorded(db, CREATE, own, actor, itemCreated))
}

const subject = { table: 'items', columns: ITEM_COLUMNS, owner: 'user_id' }

const CREATE = recordedInsert({
  ...subject,
  values: {
    id: '$1::uuid',
    user_id: '$2::uuid',
    title: '$3::text',
    description: '$4::text',
    status: "coalesce($5::text, 'draft')",
    price: 'coalesce($6::numeric, 0)',
    metadata: "coalesce($7::jsonb, '{}')",
  },
  type: itemCreated,
})

/** What is different, by `PATCH` or because it is published or archived: whoever follows a status hears of it either way. */
export async function updateItem(db: Db, actor: Actor, target: Target, changes: ItemChanges): Promise<Item> {
  return changed(await changeRecorded(db, UPDATE, [changes], target, actor, itemUpdated))
}

const CHANGES = `$${FIRST_OWN}::jsonb`
const isThere = 'subject.deleted_at is null'

const UPDATE = recordedChange({
  ...subject,
  among: isThere,
  values: {
    title: `coalesce(${CHANGES} ->> 'title', subject.title)`,
    // Null is a description that is taken away.
    description: `case when ${CHANGES} ? 'description' then ${CHANGES} ->> 'description' else subject.description end`,
    status: `coalesce(${CHANGES} ->> 'status', subject.status)`,
    price: `coalesce((${CHANGES} ->> 'price')::numeric, subject.price)`,
    metadata: `coalesce(${CHANGES} -> 'metadata', subject.metadata)`,
  },
  type: itemUpdated,
  typeName: plain => `case
      when after.status = before.status then ${plain}
      when after.status <> 'draft' then 'item.' || after.status
      when before.status = 'archived' then 'item.restored'
      else ${plain}
    end`,
})

export const publishItem = (db: Db, actor: Actor, target: Target): Promise<Item> =>
  updateItem(db, actor, target, { status: 'published' })

export const archiveItem = (db: Db, actor: Actor, target: Target): Promise<Item> =>
  updateItem(db, actor, target, { status: 'archived' })

/** A deleted one comes back, and an archived one becomes a draft; what is both becomes neither, so that a second call finds nothing to do. */
export async function restoreItem(db: Db, actor: Actor, target: Target): Promise<Item> {
  return changed(await changeRecorded(db, RESTORE, [], target, actor, itemRestored))
}

const RESTORE = recordedChange({
  ...subject,
  among: 'true',
  values: {
    deleted_at: 'null::timestamptz',
    status: `case subject.status when 'archived' then 'draft' else subject.status end`,
  },
  type: itemRestored,
  changes: `changes_between(
      case when before.deleted_at is null then ${stateOf('before', itemRestored)} end, ${stateOf('after', itemRestored)}
    )`,
})

/** Deleted items are kept for a while, and can be restored. */
export async function deleteItem(db: Db, actor: Actor, target: Target): Promise<void> {
  changed(await changeRecorded(db, DELETE, [], target, actor, itemDeleted))
}

const DELETE = recordedChange({
  ...subject,
  among: isThere,
  values: { deleted_at: 'now()' },
  type: itemDeleted,
  changes: `changes_between(${stateOf('before', itemDeleted)}, null)`,
})

const changed = ([row]: Record<string, unknown>[]): Item =>
  itemOf(demandChanged(row, { missing: noSuchItem, foreign: noSuchItem }))
