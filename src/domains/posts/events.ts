import { Type } from '@sinclair/typebox'
import { defineEvent } from '../../events/event-type.ts'
import { Post } from './schemas.ts'

/** By the version, who reads of changes that were made at the same moment knows which was first. */
const fields = Type.Pick(Post, ['title', 'content', 'version'])

/** Every process may keep pages of posts. */
const announced = { announced: true }

export const postCreated = defineEvent('post.created', fields, announced)
export const postUpdated = defineEvent('post.updated', fields, announced)
export const postDeleted = defineEvent('post.deleted', fields, announced)
/** For good, some time after it was deleted. */
export const postPurged = defineEvent('post.purged', Type.Object({}))
