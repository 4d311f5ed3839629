import { and, eq, getTableColumns, isNull, or, type SQL, sql } from 'drizzle-orm'
import { users } from '../../accounts/tables.ts'
import { momentOf } from '../../db/moments.ts'
import { boundedTotal, countAlone, isAfter, sortedBy, withTotal } from '../../db/paging.ts'
import { executePrepared } from '../../db/raw.ts'
import { contains } from '../../db/search.ts'
import type { Db } from '../../db/types.ts'
import type { Found, SortKey } from '../../lib/paging.ts'
import type { Post, PostFilter, sortedPosts } from './schemas.ts'
import { postCounts, posts } from './tables.ts'

type PostSlice = ReturnType<typeof sortedPosts.slice>

/**
 * Not prepared, because the planner has to see the word that is searched for: a frequent one is found soonest by walking
 * through the newest posts, a rare one in the index of words. The authors are joined to the page, not to the list: or
 * those of all posts that a page by number skips would be looked up, too (80 000 of them took 357 ms instead of 48).
 */
export async function selectPage(db: Db, filter: PostFilter, slice: PostSlice): Promise<Found<Post>> {
  const where = and(...conditionsOf(filter))
  const bounded = Boolean(filter.author_id || filter.search)
  const total = bounded ? boundedTotal(db, posts, where) : keptTotal
  const order = { column: posts.created_at, id: posts.id, direction: slice.sort_dir }
  const page = db
    .select({
      ...getTableColumns(posts),
      total: (slice.after === undefined ? total : NOT_COUNTED).as('total'),
    })
    .from(posts)
    .where(and(where, isAfter(order, slice.after)))
    .orderBy(...sortedBy(order))
    .limit(slice.limit)
    .offset(slice.offset)
    .as('page')
  const rows = await db
    .select({
      id: page.id,
      title: page.title,
      content: page.content,
      author: { id: users.id, full_name: sql<string>`${sql.raw(shownName('users'))}` },
      version: page.version,
      created_at: page.created_at,
      updated_at: page.updated_at,
      total: page.total,
    })
    .from(page)
    .innerJoin(users, eq(users.id, page.author_id))
    .orderBy(...sortedBy({ ...order, column: page.created_at, id: page.id }))
  const found = await withTotal(rows, slice, () => countAlone(db, total))
  return { ...found, bounded }
}

const NOT_COUNTED = sql<number | null>`null::int`

const keptTotal = sql<number>`(select coalesce(sum(${postCounts.posts}), 0)::int from ${postCounts})`

const conditionsOf = ({ author_id, search }: PostFilter): (SQL | undefined)[] => [
  isNull(posts.deleted_at),
  author_id === undefined ? undefined : eq(posts.author_id, author_id),
  search ? or(contains(posts.title, search), contains(posts.content, search)) : undefined,
]

/** What a row of `users` is called in public. */
const shownName = (row: string) =>
  `case when ${row}.deleted_at is null then ${row}.full_name else 'Deleted user' end`

export async function findPost(db: Db, id: string): Promise<Post | undefined> {
  const [row] = await executePrepared(db, FIND, [id])
  return row && postOf(row)
}

/** What is answered of a post that a statement knows as `subject`; and the id of the author, for the event. */
export const POST_COLUMNS = [
  ...['id', 'author_id', 'title', 'content'].map(column => `subject.${column}`),
  `jsonb_build_object('id', subject.author_id, 'full_name', (
    select ${shownName('author')} from users as author where author.id = subject.author_id
  )) as author`,
  ...['version', 'created_at', 'updated_at'].map(column => `subject.${column}`),
].join(', ')

const FIND = `select ${POST_COLUMNS} from posts as subject where id = $1::uuid and deleted_at is null`

export const postOf = ({
  author_id: _author,
  deleted_at: _deleted,
  created_at,
  updated_at,
  ...row
}: Record<string, unknown>): Post =>
  ({ ...row, created_at: momentOf(created_at), updated_at: momentOf(updated_at) }) as Post

const newestFirst = { column: posts.created_at, id: posts.id, direction: 'desc' } as const

/** All of an author's, the deleted ones too, newest first. */
export const selectPosts = (db: Db, author_id: string, after: SortKey | undefined, limit: number) =>
  db
    .select()
    .from(posts)
    .where(and(eq(posts.author_id, author_id), isAfter(newestFirst, after)))
    .orderBy(...sortedBy(newestFirst))
    .limit(limit)
