import { type Static, Type } from '@sinclair/typebox'
import { SortedPage, sortedList } from '../../lib/paging.ts'
import { component, Id, ref, Timestamp } from '../../lib/schema.ts'

const closed = { additionalProperties: false }

const Title = Type.String({ minLength: 1, maxLength: 200 })
const Content = Type.String({ minLength: 1, maxLength: 100_000 })

/** Twelve bytes a character are what it takes where each is half of a pair and both are escaped. */
export const MOST_BYTES = 12 * (100_000 + 200) + 1_000

export const PostAuthor = component(
  'PostAuthor',
  Type.Object(
    {
      id: Id,
      full_name: Type.String({ description: '`Deleted user` once the author is deleted.' }),
    },
    { description: 'Who wrote a post, as far as everybody may know.' },
  ),
)

export const Post = component(
  'Post',
  Type.Object(
    {
      id: Id,
      title: Title,
      content: Content,
      author: ref(PostAuthor),
      version: Type.Integer({ minimum: 1, description: 'One more with each change.' }),
      created_at: Timestamp,
      updated_at: Timestamp,
    },
    { description: 'Something that a user tells everybody.' },
  ),
)
export type Post = Static<typeof Post>

export const NewPost = component(
  'NewPost',
  Type.Object({ title: Title, content: Content }, { ...closed, description: 'A post to be.' }),
)
export type NewPost = Static<typeof NewPost>

export const PostChanges = component(
  'PostChanges',
  Type.Object(
    { title: Type.Optional(Title), content: Type.Optional(Content) },
    { ...closed, description: 'What is to be different.' },
  ),
)
export type PostChanges = Static<typeof PostChanges>

export const PostParameters = Type.Object({ id: Id })

export const PostPage = component('PostPage', SortedPage(Post))
export type PostPage = Static<typeof PostPage>

export const sortedPosts = sortedList('posts', { created_at: 'moment' }, 'created_at')

/** There is nothing to choose. */
export const SORT = { sort_by: 'created_at' } as const

const { sort_by: _chosen, ...paging } = sortedPosts.parameters

const search = Type.Optional(
  Type.String({
    maxLength: 255,
    description: 'A part of the title or the content, in any case; no character is special.',
  }),
)
const author_id = Type.Optional({ ...Id, description: 'Whose posts.' })

/** Of one author's list. */
export const AuthorsPostParameters = Type.Object({ search, ...paging })

export const PostListParameters = Type.Object({ author_id, search, ...paging })
export type PostListParameters = Static<typeof PostListParameters>

const PostFilter = Type.Object({ author_id, search })
export type PostFilter = Static<typeof PostFilter>
