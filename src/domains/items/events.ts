import { Type } from '@sinclair/typebox'
import { defineEvent } from '../../events/event-type.ts'
import { Item } from './schemas.ts'

/** By the version, who reads of changes that were made at the same moment knows which was first. */
const fields = Type.Pick(Item, ['title', 'description', 'status', 'price', 'metadata', 'version'])

export const itemCreated = defineEvent('item.created', fields)
export const itemUpdated = defineEvent('item.updated', fields)
export const itemPublished = defineEvent('item.published', fields)
export const itemArchived = defineEvent('item.archived', fields)
export const itemRestored = defineEvent('item.restored', fields)
export const itemDeleted = defineEvent('item.deleted', fields)
/** Many at once, of which each is not told. */
export const itemsImported = defineEvent(
  'item.imported',
  Type.Object({ imported: Type.Integer(), failed: Type.Integer() }),
)
/** For good, when it can no longer be restored. */
export const itemPurged = defineEvent('item.purged', Type.Object({}))
