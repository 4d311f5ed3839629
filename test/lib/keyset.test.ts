import { test } from 'tap'
import { keysetPage, pageLinks, readCursor } from '../../src/lib/keyset.ts'

const anything = () => true
const keyOf = (key: string) => key

test('a cursor leads back to its key, in its own list only', t => {
  const { pagination } = keysetPage('fruits', ['a', 'b', 'c'], 2, keyOf)
  t.equal(readCursor('fruits', pagination.next_cursor ?? '', anything), 'b')
  t.equal(readCursor('fruits', undefined, anything), undefined)
  const other = keysetPage('trees', ['a', 'b'], 1, keyOf).pagination.next_cursor ?? ''
  for (const cursor of [
    other,
    '',
    'x',
    '!',
    `${pagination.next_cursor}AA`,
    Buffer.from('fruits').toString('base64url'),
  ]) {
    t.throws(
      () => readCursor('fruits', cursor, key => key.length === 1),
      /damaged or belongs to another list/,
    )
  }
  t.throws(() => readCursor('fruits', pagination.next_cursor ?? '', () => false))
  t.end()
})

test('one row more than a page tells that there is another', t => {
  t.strictSame(keysetPage('fruits', ['a', 'b'], 2, keyOf), {
    data: ['a', 'b'],
    pagination: { per_page: 2, has_next: false, next_cursor: null },
  })
  t.strictSame(keysetPage('fruits', [], 2, keyOf).pagination.has_next, false)
  t.strictSame(keysetPage('fruits', ['a', 'b', 'c'], 2, keyOf).data, ['a', 'b'])
  t.end()
})

test('links keep the filters, and lead to the first page and the next', t => {
  const pagination = { per_page: 2, has_next: true, next_cursor: 'bmV4dA' }
  t.equal(
    pageLinks('/fruits?colour=r%26d&cursor=old', pagination),
    '</fruits?colour=r%26d>; rel="first", </fruits?colour=r%26d&cursor=bmV4dA>; rel="next"',
  )
  t.equal(pageLinks('/fruits', { per_page: 2, has_next: false, next_cursor: null }), '</fruits>; rel="first"')
  t.end()
})
