import type { Kept } from '../../cache/kind.ts'
import { isKeptAnswer } from '../../plugins/kept-answers.ts'
import type { PostListParameters } from './schemas.ts'

/** Of posts, and of the names of those who wrote them. */
export const publicPosts: Kept = {
  name: 'posts',
  changedBy: [
    'post.*',
    'user.updated',
    // One change is one event, so that a new name may come with any of these.
    'user.deactivated',
    'user.role_changed',
    'user.email_changed',
    'user.deleted',
    'user.restored',
    'user.purged',
  ],
  of: 'anybody',
  ttl_seconds: 15,
  // 32 MB at most, 2 MB where posts are of usual length.
  most_entries: 500,
  most_characters: 64 * 1024,
  isWhole: isKeptAnswer,
}

/** Where most readers stop; who leafs further comes by once. */
const MOST_PAGES = 5

/**
 * Which page of a list it is, if that may be kept: the first few, by number. There are more words to search for, and more
 * places to go on from, than memory, and nobody asks for the same ones again soon; they would only push out the others.
 */
export function pageKey({
  author_id = '',
  search,
  page = 1,
  per_page,
  cursor,
  sort_dir,
}: PostListParameters) {
  if (search || cursor !== undefined || page > MOST_PAGES) return undefined
  return `${author_id.toLowerCase()} ${page} ${per_page} ${sort_dir}`
}
