import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { InvalidCursor } from './problems.ts'
import { component, Nullable, ref, withHeaders } from './schema.ts'

const MAX_CURSOR_LENGTH = 500

/** The parameters of a list that is walked by cursor. */
export const keysetParameters = {
  cursor: Type.Optional(
    Type.String({
      maxLength: MAX_CURSOR_LENGTH,
      description: '`next_cursor` of the page before. A walk neither skips nor repeats.',
    }),
  ),
  per_page: Type.Integer({ minimum: 1, maximum: 100, default: 20, description: 'Entries on a page.' }),
}

export const KeysetPagination = component(
  'KeysetPagination',
  Type.Object(
    {
      per_page: Type.Integer({ minimum: 1, maximum: 100 }),
      has_next: Type.Boolean(),
      next_cursor: Nullable(Type.String(), { description: 'Send it as `cursor` to get the next page.' }),
    },
    { description: 'Where a page by cursor goes on.' },
  ),
)

export const KeysetPage = <T extends TSchema>(entry: T) =>
  Type.Object(
    { data: Type.Array(ref(entry)), pagination: ref(KeysetPagination) },
    { description: 'A page of a list.' },
  )

/** A page as a route's response, with the header that comes with it. */
export const pageResponse = <T extends TSchema>(page: T) =>
  withHeaders(ref(page), { Link: 'Addresses of the `first` and, if there is one, the `next` page.' })

type Pagination = Static<typeof KeysetPagination>

/** Of one row more than the page holds, which tells whether there is another page. */
export function keysetPage<Row>(
  list: string,
  rows: readonly Row[],
  per_page: number,
  keyOf: (row: Row) => string,
): { data: Row[]; pagination: Pagination } {
  const data = rows.slice(0, per_page)
  const last = data.at(-1)
  const has_next = rows.length > per_page && last !== undefined
  const next_cursor = has_next ? encodeCursor(list, keyOf(last)) : null
  return { data, pagination: { per_page, has_next, next_cursor } }
}

/** Where the pages are, for the `Link` header (RFC 8288). */
export function pageLinks(url: string, { next_cursor }: Pagination): string {
  const next = next_cursor === null ? [] : [pageLink(url, 'next', { cursor: next_cursor })]
  return [pageLink(url, 'first', {}), ...next].join(', ')
}

/** The filters stay, the place is another. */
export function pageLink(url: string, relation: string, place: { page?: string; cursor?: string }): string {
  const at = `${url}?`.indexOf('?')
  const query = new URLSearchParams(url.slice(at + 1))
  for (const name of ['page', 'cursor']) query.delete(name)
  for (const [name, value] of Object.entries(place)) query.set(name, value)
  return `<${url.slice(0, at)}${query.size > 0 ? `?${query}` : ''}>; rel="${relation}"`
}

/** The key in a cursor, which must be one of this list. */
export function readCursor(list: string, cursor: string | undefined, isKey: (key: string) => boolean) {
  if (cursor === undefined) return undefined
  const [own, key = '', ...rest] = Buffer.from(cursor, 'base64url').toString().split(' ')
  // Decoding overlooks what is no base64.
  const whole = own === list && rest.length === 0 && encodeCursor(list, key) === cursor
  if (!whole || !isKey(key)) {
    throw new InvalidCursor('The cursor is damaged or belongs to another list.')
  }
  return key
}

const encodeCursor = (list: string, key: string) => Buffer.from(`${list} ${key}`).toString('base64url')
