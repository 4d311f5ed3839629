import { Type } from '@sinclair/typebox'
import { defineEvent } from '../../events/event-type.ts'
import { Post } from './schemas.ts'

/** By the version, who reads of changes that were made at the same moment knows which was first. */
const fields = Type.Pick(Post, ['title', 'content', 'version'])

export const postCreated = defineEvent('post.created', fields)
export const postUpdated = defineEvent('post.updated', fields)
export const postDeleted = defineEvent('post.deleted', fields)
/** For good, some time after it was deleted. */
export const postPurged = defineEvent('post.purged', Type.Object({}))
