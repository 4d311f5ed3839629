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
import { Forbidden, NotFound } from '../../lib/problems.ts'
import { postCreated, postDeleted, postUpdated } from './events.ts'
import { findPost, POST_COLUMNS, postOf, selectPage } from './queries.ts'
import {
  type NewPost,
  type Post,
  type PostChanges,
  type PostListParameters,
  type PostPage,
  SORT,
  sortedPosts,
} from './schemas.ts'

/** Newest first unless told, and sorted by nothing else. */
export async function listPosts(db: Db, asked: PostListParameters): Promise<PostPage> {
  const { author_id, search, ...rest } = asked
  const place = { ...rest, ...SORT }
  const filter = { ...(author_id !== undefined && { author_id }), ...(search !== undefined && { search }) }
  return sortedPosts.page(place, await selectPage(db, filter, sortedPosts.slice(place)))
}

export async function viewPost(db: Db, id: string): Promise<Post> {
  const post = await findPost(db, id)
  if (post === undefined) throw noSuchPost()
  return post
}

export async function createPost(
  db: Db,
  actor: Actor,
  author_id: string,
  { title, content }: NewPost,
): Promise<Post> {
  const own = [newId(), author_id, title, content]
  return postOf(await insertRecorded(db, CREATE, own, actor, postCreated))
}

const subject = { table: 'posts', columns: POST_COLUMNS, owner: 'author_id' }

const CREATE = recordedInsert({
  ...subject,
  values: { id: '$1::uuid', author_id: '$2::uuid', title: '$3::text', content: '$4::text' },
  type: postCreated,
})

export async function updatePost(
  db: Db,
  actor: Actor,
  target: Target,
  { title, content }: PostChanges,
): Promise<Post> {
  return changed(await changeRecorded(db, UPDATE, [title, content], target, actor, postUpdated))
}

const among = 'subject.deleted_at is null'

const UPDATE = recordedChange({
  ...subject,
  among,
  values: {
    title: `coalesce($${FIRST_OWN}::text, subject.title)`,
    content: `coalesce($${FIRST_OWN + 1}::text, subject.content)`,
  },
  type: postUpdated,
})

/** Kept for a while, for operators: nobody can bring a post back through the API. */
export async function deletePost(db: Db, actor: Actor, target: Target): Promise<void> {
  changed(await changeRecorded(db, DELETE, [], target, actor, postDeleted))
}

const DELETE = recordedChange({
  ...subject,
  among,
  values: { deleted_at: 'now()' },
  type: postDeleted,
  changes: `changes_between(${stateOf('before', postDeleted)}, null)`,
})

const changed = ([row]: Record<string, unknown>[]): Post =>
  postOf(demandChanged(row, { missing: noSuchPost, foreign: notTheAuthor }))

const noSuchPost = () => new NotFound('There is no such post.')

const notTheAuthor = () => new Forbidden('Only the author, editors and administrators may change a post.')
