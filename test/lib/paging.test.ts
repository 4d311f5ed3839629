import { test } from 'tap'
import { sortedList, sortedPageLinks } from '../../src/lib/paging.ts'

const fruits = sortedList('fruits', { name: 'text', picked_at: 'moment', price: 'decimal' }, 'name')
const id = '01a1fe6d-2985-7239-9535-76034f419dc5'

const asked = { sort_by: 'name', sort_dir: 'desc', per_page: 2 } as const
const row = (fields: object = {}) => ({ id, name: 'Apple', picked_at: null, price: '1.50', ...fields })

/** The cursor behind a row, in a list that is asked for like this. */
function cursorOf(query: Parameters<typeof fruits.page>[0], last: ReturnType<typeof row>): string {
  const rows = [last, last].map(() => last)
  return fruits.page({ ...query, per_page: 1 }, { rows: [...rows], total: null }).pagination.next_cursor ?? ''
}

test('by number, the rows before are skipped and one more is read', t => {
  const slice = { sort_by: 'name', sort_dir: 'desc', after: undefined }
  t.strictSame(fruits.slice(asked), { ...slice, offset: 0, limit: 3 })
  t.strictSame(fruits.slice({ ...asked, page: 3 }), { ...slice, offset: 4, limit: 3 })
  t.end()
})

test('a page by number says where it is', t => {
  const page = (number: number, rows: number, total: number) =>
    fruits.page({ ...asked, page: number }, { rows: Array.from({ length: rows }, () => row()), total })
  t.match(page(1, 3, 5).pagination, {
    page: 1,
    per_page: 2,
    total: 5,
    pages: 3,
    has_next: true,
    has_prev: false,
  })
  t.type(page(1, 3, 5).pagination.next_cursor, 'string')
  t.equal(page(1, 3, 5).data.length, 2)
  t.match(page(3, 1, 5).pagination, { has_next: false, has_prev: true, next_cursor: null })
  t.match(page(9, 0, 5).pagination, { page: 9, total: 5, pages: 3, has_next: false, has_prev: true })
  t.match(page(9, 0, 0).pagination, { total: 0, pages: 0, has_next: false, has_prev: false })
  t.end()
})

test('a page by cursor counts nothing', t => {
  const { pagination } = fruits.page(asked, { rows: [row()], total: null })
  t.strictSame(pagination, { per_page: 2, has_next: false, next_cursor: null })
  t.end()
})

test('a cursor leads back to its key, whatever that holds', t => {
  const longest = '😀'.repeat(255)
  for (const name of ['Apple', 'a b.c:d', '', '%_\\"', 'Äpfel 😀', longest]) {
    const cursor = cursorOf(asked, row({ name }))
    t.ok(cursor.length <= 2_000)
    t.strictSame(fruits.slice({ ...asked, cursor }).after, { id, value: name })
  }
  const byTime = { ...asked, sort_by: 'picked_at' } as const
  const picked_at = new Date('2026-11-21T08:00:00.123Z')
  const after = (fields: object, query: Parameters<typeof fruits.slice>[0]) =>
    fruits.slice({ ...query, cursor: cursorOf(query, row(fields)) }).after
  t.strictSame(after({ picked_at }, byTime), { id, value: '2026-11-21T08:00:00.123Z' })
  t.strictSame(after({ picked_at: null }, byTime), { id, value: null })
  t.strictSame(after({}, { ...asked, sort_by: 'price' }), { id, value: '1.50' })
  t.end()
})

test('a cursor is good for its list and its order only, and unharmed', t => {
  const cursor = cursorOf(asked, row())
  const forged = (text: string) => Buffer.from(text).toString('base64url')
  const value = forged('Apple')
  for (const query of [
    { ...asked, cursor, sort_dir: 'asc' },
    { ...asked, cursor, sort_by: 'price' },
    { ...asked, cursor: forged(`trees:name:desc ${id}.${value}`) },
    { ...asked, cursor: forged(`fruits:name:desc ${id}.${value}A`) },
    { ...asked, cursor: forged(`fruits:name:desc ${id}.${value}.${value}`) },
    { ...asked, cursor: forged(`fruits:name:desc ${id}.${Buffer.from([0xff]).toString('base64url')}`) },
    { ...asked, cursor: forged(`fruits:name:desc ${id}.${forged('a\0b')}`) },
    { ...asked, cursor: forged(`fruits:name:desc x.${value}`) },
    { ...asked, sort_by: 'price', cursor: forged(`fruits:price:desc ${id}.${forged('1e9')}`) },
    { ...asked, sort_by: 'picked_at', cursor: forged(`fruits:picked_at:desc ${id}.${forged('now')}`) },
    { ...asked, cursor: '' },
    { ...asked, cursor: 'x' },
  ] as const) {
    t.throws(() => fruits.slice(query), { statusCode: 400, code: 'INVALID_CURSOR' })
  }
  t.end()
})

test('no number leads beyond 100 000 entries, and none stands beside a cursor', t => {
  const refusal = (query: object) => {
    try {
      fruits.slice({ ...asked, ...query })
      return undefined
    } catch (error) {
      return (error as { errors: { message: string }[] }).errors[0]?.message
    }
  }
  t.equal(refusal({ page: 1_000, per_page: 100 }), undefined)
  t.match(refusal({ page: 1_001, per_page: 100 }), /use cursor/)
  t.match(refusal({ page: 1, cursor: cursorOf(asked, row()) }), /together with cursor/)
  t.end()
})

test('links keep the filters and lead to the pages that there are', t => {
  const pagination = {
    page: 2,
    per_page: 2,
    total: 7,
    pages: 4,
    has_next: true,
    has_prev: true,
    next_cursor: 'C',
  }
  const links = (changes: object, url = '/fruits?search=a%26b?&page=2') =>
    sortedPageLinks(url, { ...pagination, ...changes }).split(', ')
  t.strictSame(links({}), [
    '</fruits?search=a%26b%3F>; rel="first"',
    '</fruits?search=a%26b%3F&page=1>; rel="prev"',
    '</fruits?search=a%26b%3F&page=3>; rel="next"',
    '</fruits?search=a%26b%3F&page=4>; rel="last"',
  ])
  t.strictSame(links({ page: 9, has_next: false, next_cursor: null }, '/fruits?page=9'), [
    '</fruits>; rel="first"',
    '</fruits?page=4>; rel="prev"',
    '</fruits?page=4>; rel="last"',
  ])
  const empty = { page: 1, total: 0, pages: 0, has_next: false, has_prev: false, next_cursor: null }
  t.strictSame(links(empty, '/fruits'), ['</fruits>; rel="first"'])
  t.strictSame(
    links({ page: 50_000, total: 300_000, pages: 150_000 }, '/fruits?page=50000').slice(2),
    ['</fruits?cursor=C>; rel="next"'],
    'where no number leads, the cursor does',
  )
  const byCursor = { per_page: 2, has_next: true, next_cursor: 'D' }
  t.equal(
    sortedPageLinks('/fruits?cursor=C&search=x', byCursor),
    '</fruits?search=x>; rel="first", </fruits?search=x&cursor=D>; rel="next"',
  )
  t.end()
})
