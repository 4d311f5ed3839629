import { type SQL, sql } from 'drizzle-orm'
import { test } from 'tap'
import type { App } from '../../../src/app.ts'
import { items } from '../../../src/domains/items/tables.ts'
import { newId } from '../../../src/lib/id.ts'
import { MOST_COUNTED } from '../../../src/lib/paging.ts'
import { aUser, build } from '../../helper.ts'
import { anItem, counted, type Headers, path, send } from './calls.ts'

const list = async (app: App, headers: Headers, query: string | Record<string, string>) =>
  send(app, 'GET', `?${new URLSearchParams(query)}`, headers)

type Row = Partial<typeof items.$inferInsert>

/** An owner and his items, which are named by their titles. */
async function anOwner(app: App, rows: Row[]) {
  const { id: user_id, headers } = await aUser(app)
  // Ids in the order of the rows, whatever the clock says.
  const own = rows.map(row => ({ title: 'x', ...row, id: newId(), user_id }))
  if (own.length > 0) await app.database.db.insert(items).values(own)
  /** The titles that are found, in the order in which their items were made. */
  const found = async (query: string | Record<string, string>) => {
    const answer = await list(app, headers, query)
    if (answer.statusCode !== 200) return answer.json().code
    const { data, pagination } = answer.json()
    if (pagination.total !== data.length) throw new Error(`${pagination.total} is no total of ${data.length}`)
    return own
      .filter(({ id }) => data.some((item: { id: string }) => item.id === id))
      .map(({ title }) => title)
  }
  return { user_id, headers, own, found }
}

/** The faults of a query that is refused. */
async function fault(app: App, headers: Headers, query: string) {
  const answer = await send(app, 'GET', `?${query}`, headers)
  const { code, errors } = answer.json()
  return [answer.statusCode, code, errors?.[0]?.pointer]
}

const day = (number: number) => new Date(Date.UTC(2026, 0, number))

test('each filter, and several together', async t => {
  const app = await build(t)
  const { found, own, headers } = await anOwner(app, [
    { title: 'a', status: 'draft', price: '0.00', created_at: day(1) },
    { title: 'b', status: 'published', price: '9.99', created_at: day(2) },
    { title: 'c', status: 'published', price: '10.00', created_at: day(3), metadata: { color: 'red' } },
    { title: 'd', status: 'archived', price: '10.01', created_at: day(4), metadata: { color: 'red' } },
    { title: 'e', status: 'published', price: '99999999.99', created_at: day(5), description: 'needle' },
    { title: 'gone', status: 'published', price: '10.00', created_at: day(3), deleted_at: new Date() },
  ])
  t.strictSame(await found(''), ['a', 'b', 'c', 'd', 'e'])
  t.strictSame(await found('status=published'), ['b', 'c', 'e'])
  t.strictSame(await found('status=archived'), ['d'])
  t.strictSame(await found('min_price=10'), ['c', 'd', 'e'])
  t.strictSame(await found('min_price=10.0'), ['c', 'd', 'e'])
  t.strictSame(await found('max_price=10.00'), ['a', 'b', 'c'])
  t.strictSame(await found('max_price=0'), ['a'])
  t.strictSame(await found('min_price=9.99&max_price=10'), ['b', 'c'])
  t.strictSame(await found('min_price=11&max_price=10'), [])
  t.strictSame(await found({ created_from: '2026-01-03T00:00:00Z' }), ['c', 'd', 'e'])
  t.strictSame(
    await found({ created_to: '2026-01-03T00:00:00Z' }),
    ['a', 'b'],
    'the end does not belong to it',
  )
  t.strictSame(await found({ created_from: '2026-01-03T00:00:00.001Z' }), ['d', 'e'])
  t.strictSame(await found({ created_from: '2026-01-03T02:00:00+02:00' }), ['c', 'd', 'e'])
  t.strictSame(await found({ created_from: '2026-01-03T02:00:00.001+02:00' }), ['d', 'e'])
  t.strictSame(await found({ created_to: '2026-01-02T14:00:00.001-10:00' }), ['a', 'b', 'c'])
  t.strictSame(await found({ created_from: '2026-01-02t00:00:00z', created_to: '2026-01-04T00:00:00Z' }), [
    'b',
    'c',
  ])
  t.strictSame(await found('search=needle'), ['e'])
  t.strictSame(await found('search=&status=published'), ['b', 'c', 'e'], 'to search for nothing is no search')
  t.strictSame(await found('metadata.color=red'), ['c', 'd'])
  const all = {
    status: 'published',
    min_price: '10',
    max_price: '10.01',
    created_from: '2026-01-03T00:00:00Z',
    created_to: '2026-01-04T00:00:00Z',
    search: 'C',
    'metadata.color': 'red',
  }
  t.strictSame(await found(all), ['c'])
  for (const other of [
    { status: 'draft' },
    { min_price: '10.01' },
    { max_price: '9.99' },
    { created_from: '2026-01-03T00:00:00.001Z' },
    { created_to: '2026-01-03T00:00:00Z' },
    { search: 'd' },
    { 'metadata.color': 'blue' },
    { 'metadata.size': '1' },
  ]) {
    t.strictSame(await found({ ...all, ...other }), [], JSON.stringify(other))
  }
  t.strictSame(await found('status=published&utm_source=x'), ['b', 'c', 'e'])
  const deleted = own.at(-1)?.id
  t.notMatch((await list(app, headers, 'per_page=100')).body, new RegExp(`${deleted}|gone|deleted_at|needle`))
})

test('filters that mean nothing', async t => {
  const app = await build(t)
  const { headers } = await anOwner(app, [{}])
  for (const [query, pointer] of [
    ['status=deleted', '/status'],
    ['status=', '/status'],
    ['status=draft&status=archived', '/status'],
    ['min_price=-1', '/min_price'],
    ['min_price=1.234', '/min_price'],
    ['max_price=NaN', '/max_price'],
    ['max_price=1e3', '/max_price'],
    ['max_price=', '/max_price'],
    ['created_from=2026-01-03', '/created_from'],
    ['created_from=0000-01-03T00:00:00Z', '/created_from'],
    ['created_from=2026-01-03T00:00:00%2B23:00', '/created_from'],
    ['created_from=2026-01-03T00:00:00%2B05', '/created_from'],
    ['created_from=yesterday', '/created_from'],
    ['created_to=2026-02-30T00:00:00Z', '/created_to'],
    ['created_to=2026-01-03T00:00:00', '/created_to'],
    ['created_to=2026-01-03T23:59:60Z', '/created_to'],
    [`search=${'x'.repeat(256)}`, '/search'],
    ['search=a&search=b', '/search'],
    ['user_id=me', '/user_id'],
    ['fields=', '/fields'],
    ['fields=id,', '/fields'],
    ['fields=id,color', '/fields'],
    ['fields=deleted_at', '/fields'],
    ['fields=id%20title', '/fields'],
    ['sort_by=description', '/sort_by'],
    ['sort_by=deleted_at', '/sort_by'],
    ['sort_dir=up', '/sort_dir'],
    ['page=0', '/page'],
    ['page=1.5', '/page'],
    ['page=x', '/page'],
    ['page=-1', '/page'],
    ['page=100001', '/page'],
    ['page=1001&per_page=100', '/page'],
    ['per_page=0', '/per_page'],
    ['per_page=101', '/per_page'],
    ['metadata.a=1&metadata.a=2', '/metadata.a'],
    [`metadata.a=${'x'.repeat(1001)}`, '/metadata.a'],
    [Array.from({ length: 11 }, (_none, index) => `metadata.k${index}=1`).join('&'), '/metadata.k10'],
  ] as const) {
    t.strictSame(await fault(app, headers, query), [400, 'validation_failed', pointer], query.slice(0, 60))
  }
  for (const query of ['search=%00', 'metadata.a=%00', 'metadata.%00=a', 'search=%ff', 'search=%ED%A0%80']) {
    const [status, code] = await fault(app, headers, query)
    t.equal(status, 400, query)
    t.match(code, /^(invalid_text|malformed_request)$/, query)
  }
  // Moments that RFC 3339 knows and Postgres does not.
  for (const moment of ['0000-01-01T00:00:00Z', '2026-01-01T00:00:00%2B23:59', '2026-01-01T00:00:00-16:00']) {
    for (const name of ['created_from', 'created_to']) {
      t.equal((await send(app, 'GET', `?${name}=${moment}`, headers)).statusCode, 400, `${name}=${moment}`)
    }
  }
  for (const moment of [
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999999999999Z',
    '2026-01-01T00:00:00%2B15:59',
  ]) {
    t.equal((await send(app, 'GET', `?created_from=${moment}`, headers)).statusCode, 200, moment)
  }
})

test('the search takes each character for itself, in any case', async t => {
  const app = await build(t)
  const { found } = await anOwner(app, [
    { title: '100% wool', description: 'under_score' },
    { title: 'back\\slash', description: `O'Neil said "no"` },
    { title: 'ÄPFEL & Öl', description: 'ЖУК ΑΒΓ' },
    { title: 'lamp 😀', description: '日本語のランプ' },
    { title: 'first half', description: 'second half' },
    { title: 'Plain', description: null },
    { title: 'gone 100% _ \\ 😀', deleted_at: new Date() },
  ])
  for (const [text, ...titles] of [
    ['%', '100% wool'],
    ['0%', '100% wool'],
    ['%%'],
    ['_', '100% wool'],
    ['r_s', '100% wool'],
    ['u_der'],
    ['\\', 'back\\slash'],
    ['\\s', 'back\\slash'],
    ['\\\\'],
    ["'", 'back\\slash'],
    ['"NO"', 'back\\slash'],
    ["o'NEIL", 'back\\slash'],
    ['äpfel', 'ÄPFEL & Öl'],
    ['ÖL', 'ÄPFEL & Öl'],
    ['& ö', 'ÄPFEL & Öl'],
    ['жук', 'ÄPFEL & Öl'],
    ['αβγ', 'ÄPFEL & Öl'],
    ['apfel'],
    ['😀', 'lamp 😀'],
    ['P 😀', 'lamp 😀'],
    ['日本', 'lamp 😀'],
    ['プ', 'lamp 😀'],
    ['half', 'first half'],
    ['SECOND h', 'first half'],
    ['halfsecond'],
    ['half second'],
    ['half\nsecond'],
    ['pl', 'Plain'],
    ['N', 'back\\slash', 'first half', 'Plain', '100% wool'],
    [' ', '100% wool', 'back\\slash', 'ÄPFEL & Öl', 'lamp 😀', 'first half'],
    ['plain', 'Plain'],
    ['plainer'],
    ['null'],
    ['x'.repeat(255)],
  ] as [string, ...string[]][]) {
    t.strictSame([...(await found({ search: text }))].sort(), [...titles].sort(), text.slice(0, 20))
  }
})

test('metadata is compared with what the URL can say', async t => {
  const app = await build(t)
  const { found } = await anOwner(app, [
    { title: 'text', metadata: { color: 'red', size: '5', on: 'true', none: 'null' } },
    { title: 'number', metadata: { size: 5, ratio: 0.5, minus: -3 } },
    { title: 'boolean', metadata: { on: true, off: false } },
    { title: 'null', metadata: { none: null } },
    { title: 'keys', metadata: { 'a.b': 'dots', größe: 'XL', '': 'nothing', "it's": `"q"`, 'a b&c=d': 'e' } },
    { title: 'nested', metadata: { a: { b: 'dots' }, tags: ['red', 5], color: { red: 1 } } },
    { title: 'proto', metadata: { constructors: 'x', toString: 'own' } },
    { title: 'gone', metadata: { color: 'red' }, deleted_at: new Date() },
  ])
  const by = async (key: string, value: string) => found({ [`metadata.${key}`]: value })
  t.strictSame(await by('color', 'red'), ['text'])
  t.strictSame(await by('color', 'Red'), [], 'as it is written')
  t.strictSame(await by('color', 're'), [], 'whole')
  t.strictSame(await by('size', '5'), ['text', 'number'])
  t.strictSame(await by('size', '5.0'), ['number'])
  t.strictSame(await by('size', '05'), [])
  t.strictSame(await by('ratio', '0.50'), ['number'])
  t.strictSame(await by('minus', '-3'), ['number'])
  t.strictSame(await by('on', 'true'), ['text', 'boolean'])
  t.strictSame(await by('off', 'false'), ['boolean'])
  t.strictSame(await by('none', 'null'), ['text', 'null'])
  t.strictSame(await by('absent', 'null'), [], 'what is not there is not null')
  t.strictSame(await by('a.b', 'dots'), ['keys'], 'a dot is a part of the key')
  t.strictSame(await by('a', 'dots'), [])
  t.strictSame(await by('größe', 'XL'), ['keys'])
  t.strictSame(await by('', 'nothing'), ['keys'])
  t.strictSame(await by("it's", '"q"'), ['keys'])
  t.strictSame(await by('a b&c=d', 'e'), ['keys'])
  t.strictSame(await by('tags', 'red'), [], 'a list is no text')
  t.strictSame(await by('tags', '5'), [])
  t.strictSame(await by('tags', '["red",5]'), [])
  t.strictSame(await by('toString', 'own'), ['proto'])
  t.strictSame(await by('__proto__', 'x'), [])
  t.strictSame(await by('constructor', 'x'), [])
  t.strictSame(await by('color', ''), [])
  t.strictSame(await found('metadata.on=true&metadata.size=5'), ['text'], 'all have to hold')
  t.strictSame(await found('metadata.on=true&metadata.size=6'), [])
  t.strictSame((await found('metadata=red')).length, 7, 'no filter without a key')
  const ten = Array.from({ length: 9 }, (_none, index) => `metadata.k${index}=1`).join('&')
  t.strictSame(await found(`${ten}&metadata.color=red`), [])
})

const columns = ['created_at', 'updated_at', 'title', 'price', 'status'] as const

test('by each column, either way, and equals by their ids', async t => {
  const app = await build(t)
  const statuses = ['published', 'draft', 'archived', 'draft'] as const
  const prices = ['9.00', '10.00', '9.00', '100.00']
  const titles = ['b', 'a', 'c', 'a']
  const { own, headers } = await anOwner(
    app,
    Array.from({ length: 12 }, (_none, index) => ({
      title: titles[index % 4] ?? '',
      description: 'needle',
      price: prices[index % 4] ?? '',
      status: statuses[index % 4] ?? 'draft',
      created_at: day(1 + (index % 3)),
      updated_at: day(5 - (index % 5)),
    })),
  )
  const key = (row: (typeof own)[number], column: (typeof columns)[number]) => {
    const value = row[column]
    if (value instanceof Date) return value.getTime()
    return column === 'price' ? Number(value) : (value ?? '')
  }
  const compare = (a: number | string, b: number | string) => (a < b ? -1 : Number(a > b))
  for (const column of columns) {
    const upwards = [...own].sort((a, b) => compare(key(a, column), key(b, column)) || compare(a.id, b.id))
    const ids = upwards.map(({ id }) => id)
    for (const [sort_dir, expected] of [
      ['asc', ids],
      ['desc', [...ids].reverse()],
    ] as const) {
      // What is searched for is not read in the order of an index.
      for (const search of ['', 'needle']) {
        const { data } = (await list(app, headers, { sort_by: column, sort_dir, search })).json()
        t.strictSame(
          data.map(({ id }: { id: string }) => id),
          expected,
          `${column} ${sort_dir} ${search}`,
        )
      }
    }
  }
  const plain = (await list(app, headers, '')).json()
  const newest = (await list(app, headers, 'sort_by=created_at&sort_dir=desc')).json()
  t.strictSame(plain.data, newest.data, 'newest first unless told')
})

test('only the fields that are asked for', async t => {
  const app = await build(t)
  const { headers, user_id } = await anOwner(app, [])
  const item = await anItem(app, headers, { description: 'x', metadata: { a: 1 }, price: '5' })
  const only = async (fields: string, more = '') =>
    (await list(app, headers, `fields=${fields}${more}`)).json().data[0]
  t.strictSame(await only('title'), { title: 'Lamp' })
  t.strictSame(await only('description,id'), { description: 'x', id: item.id })
  t.strictSame(Object.keys(await only('price,id')), ['price', 'id'], 'in the order that was asked for')
  t.strictSame(await only('id,id,title,id'), { id: item.id, title: 'Lamp' })
  t.strictSame(await only('title', '&sort_by=price'), { title: 'Lamp' })
  t.strictSame(await only(Object.keys(item).join()), item)
  t.equal((await only('user_id')).user_id, user_id)
  const answer = await list(app, headers, 'fields=title&per_page=1')
  t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
  t.match(answer.json().pagination, { page: 1, per_page: 1, total: 1 })

  await anItem(app, headers)
  const first = (await list(app, headers, 'fields=title&sort_by=price&per_page=1')).json()
  const cursor = first.pagination.next_cursor
  const next = await list(app, headers, { fields: 'title', sort_by: 'price', per_page: '1', cursor })
  t.strictSame(next.json(), {
    data: [{ title: 'Lamp' }],
    pagination: { per_page: 1, has_next: false, next_cursor: null },
  })
})

test('somebody else’s are for administrators', async t => {
  const app = await build(t)
  const owner = await anOwner(app, [{ title: 'theirs', status: 'published' }])
  const [other, editor, admin] = [await aUser(app), await aUser(app, 'editor'), await aUser(app, 'admin')]
  const ask = async (headers: Headers, query: string) => {
    const answer = await list(app, headers, query)
    return answer.json().code ?? answer.json().data.map(({ title }: { title: string }) => title)
  }
  for (const query of [`user_id=${owner.user_id}`, `user_id=${owner.user_id}&fields=title`]) {
    t.strictSame(await ask(owner.headers, query), ['theirs'])
    t.strictSame(await ask(admin.headers, query), ['theirs'])
    t.equal(await ask(other.headers, query), 'forbidden')
    t.equal(await ask(editor.headers, query), 'forbidden')
  }
  t.strictSame(await ask(owner.headers, `user_id=${owner.user_id.toUpperCase()}`), ['theirs'])
  t.strictSame(await ask(admin.headers, `user_id=${owner.user_id.toUpperCase()}&status=published`), [
    'theirs',
  ])
  t.strictSame(await ask(admin.headers, `user_id=${owner.user_id}&status=draft`), [])
  t.strictSame(await ask(admin.headers, ''), [], 'his own')
  t.strictSame(await ask(admin.headers, `user_id=${newId()}`), [])
  t.equal(await ask(other.headers, `user_id=${newId()}`), 'forbidden', 'whether or not there is such a user')
})

test('pages by number, and what leads to the others', async t => {
  const app = await build(t)
  const { headers, own } = await anOwner(
    app,
    Array.from({ length: 5 }, () => ({ status: 'draft', created_at: day(1) })),
  )
  const page = async (number: number, more = '') => {
    const answer = await list(app, headers, `per_page=2&sort_dir=asc${more}&page=${number}`)
    const { data, pagination } = answer.json()
    const { link } = answer.headers
    return { ids: data.map(({ id }: { id: string }) => id), pagination, link: String(link).split(', ') }
  }
  const ids = own.map(({ id }) => id)
  const [first, second, third] = [await page(1), await page(2), await page(3)]
  t.strictSame([...first.ids, ...second.ids, ...third.ids], ids)
  t.strictSame(first.pagination, {
    page: 1,
    per_page: 2,
    total: 5,
    pages: 3,
    has_next: true,
    has_prev: false,
    next_cursor: first.pagination.next_cursor,
  })
  t.type(first.pagination.next_cursor, 'string')
  t.match(second.pagination, { page: 2, has_next: true, has_prev: true })
  t.match(third.pagination, { page: 3, has_next: false, has_prev: true, next_cursor: null })
  const at = (relation: string, number?: number) =>
    `<${path}?per_page=2&sort_dir=asc${number === undefined ? '' : `&page=${number}`}>; rel="${relation}"`
  t.strictSame(first.link, [at('first'), at('next', 2), at('last', 3)])
  t.strictSame(second.link, [at('first'), at('prev', 1), at('next', 3), at('last', 3)])
  t.strictSame(third.link, [at('first'), at('prev', 2), at('last', 3)])

  for (const more of ['', '&status=draft', '&search=x', '&min_price=0', '&fields=id']) {
    const beyond = await page(50_000, more)
    t.strictSame(beyond.ids, [], more)
    const numbers = { page: 50_000, total: 5, pages: 3, has_next: false, has_prev: true, next_cursor: null }
    t.strictSame(beyond.pagination, { ...numbers, per_page: 2 }, more)
  }
  const none = await page(1, '&status=archived')
  t.match(none.pagination, { total: 0, pages: 0, has_next: false, has_prev: false, next_cursor: null })
  t.strictSame(none.link.length, 1)

  const cursor = first.pagination.next_cursor
  const onwards = await list(app, headers, { per_page: '2', sort_dir: 'asc', cursor })
  t.strictSame(
    onwards.json().data.map(({ id }: { id: string }) => id),
    ids.slice(2, 4),
  )
  const { next_cursor } = onwards.json().pagination
  t.strictSame(onwards.json().pagination, { per_page: 2, has_next: true, next_cursor })
  t.equal(
    onwards.headers.link,
    `${at('first')}, <${path}?per_page=2&sort_dir=asc&cursor=${next_cursor}>; rel="next"`,
  )
})

test('a cursor is good for the list that it comes from', async t => {
  const app = await build(t)
  const { headers } = await anOwner(app, [{}, {}, {}])
  const admin = await aUser(app, 'admin')
  const next = async (query: string) =>
    (await list(app, headers, `per_page=1&${query}`)).json().pagination.next_cursor
  const cursor = await next('')
  const users = await app.inject({ url: '/api/v1/users?per_page=1', headers: admin.headers })
  const forged = (key: string, by = 'created_at') =>
    Buffer.from(`items:${by}:desc ${key}`).toString('base64url')
  const encoded = (text: string) => Buffer.from(text).toString('base64url')
  const id = newId()
  for (const [name, query] of [
    ['another direction', `sort_dir=asc&cursor=${cursor}`],
    ['another column', `sort_by=updated_at&cursor=${cursor}`],
    ['of another column', `cursor=${await next('sort_by=title')}`],
    ['another list', `cursor=${users.json().pagination.next_cursor}`],
    ['one character more', `cursor=${cursor}A`],
    ['one character less', `cursor=${cursor.slice(0, -1)}`],
    ['another character', `cursor=x${cursor.slice(1)}`],
    ['nothing', 'cursor='],
    ['no base64', 'cursor=%2F%2B%21'],
    ['no moment', `cursor=${forged(`${id}.${encoded('now')}`)}`],
    ['a day that never was', `cursor=${forged(`${id}.${encoded('2026-02-31T00:00:00.000Z')}`)}`],
    ['a year that never was', `cursor=${forged(`${id}.${encoded('0000-01-01T00:00:00.000Z')}`)}`],
    ['an hour that never was', `cursor=${forged(`${id}.${encoded('2026-01-01T24:00:00.000Z')}`)}`],
    ['no id', `cursor=${forged(`x.${encoded('2026-01-01T00:00:00.000Z')}`)}`],
    ['no number', `sort_by=price&cursor=${forged(`${id}.${encoded('NaN')}`, 'price')}`],
    ['NUL', `sort_by=title&cursor=${forged(`${id}.${encoded('\0')}`, 'title')}`],
  ] as [string, string][]) {
    t.strictSame((await fault(app, headers, query)).slice(0, 2), [400, 'invalid_cursor'], name)
  }
  t.strictSame(await fault(app, headers, `page=1&cursor=${cursor}`), [400, 'validation_failed', '/page'])
  const long = await fault(app, headers, `cursor=${'x'.repeat(2001)}`)
  t.strictSame(long, [400, 'validation_failed', '/cursor'])
  const absent = forged(`${id}.${encoded('2026-01-01T00:00:00.000Z')}`)
  t.equal(
    (await list(app, headers, { cursor: absent })).statusCode,
    200,
    'a row that is not there is a place, too',
  )
})

const insertMany = (app: App, user_id: string, count: number, columns: SQL) =>
  app.database.db.execute(sql`
    insert into items (id, user_id, title, ${sql.raw('status, price')})
    select gen_random_uuid(), ${user_id}, 'many ' || number, ${columns} from generate_series(1, ${count}::int) as number`)

test('of very many that are filtered, it is said that there are more', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const all = MOST_COUNTED + 250
  await insertMany(app, user_id, all, sql`'draft', 1`)
  const page = async (query: string) => {
    const answer = await list(app, headers, `per_page=100&${query}`)
    return { ...answer.json(), link: String(answer.headers.link) }
  }
  const { next_cursor: _cursor, ...whole } = (await page('')).pagination
  const pages = Math.ceil(all / 100)
  t.strictSame(whole, { page: 1, per_page: 100, total: all, pages, has_next: true, has_prev: false })
  for (const query of ['status=draft', 'search=', 'utm_source=x', 'fields=id', 'sort_by=title']) {
    const { pagination } = await page(query)
    t.match(pagination, { total: all, total_is_minimum: undefined }, `${query} is kept count of`)
  }

  const first = await page('search=many')
  const more = { total: MOST_COUNTED, total_is_minimum: true, pages: MOST_COUNTED / 100, has_next: true }
  t.match(first.pagination, { page: 1, ...more })
  t.notMatch(first.link, /last/)
  t.match(first.link, /page=2>; rel="next"/)
  const edge = MOST_COUNTED / 100
  const middle = await page(`search=many&page=${edge}`)
  t.match(middle.pagination, {
    total: MOST_COUNTED + 1,
    total_is_minimum: true,
    has_next: true,
    pages: edge + 1,
  })
  t.match(middle.link, new RegExp(`page=${edge + 1}>; rel="next"`))

  const last = await page(`search=many&page=${pages}`)
  t.equal(last.data.length, 50)
  const exact = { total: all, pages, has_next: false, has_prev: true, total_is_minimum: undefined }
  t.match(last.pagination, exact, 'on the last page, there is nothing to guess')
  t.match(last.link, new RegExp(`page=${pages - 1}>; rel="prev"`))
  t.match(last.link, new RegExp(`page=${pages}>; rel="last"`))

  for (const number of [pages + 1, 900]) {
    const beyond = await page(`search=many&page=${number}`)
    t.strictSame(beyond.data, [])
    const known = {
      page: number,
      total: MOST_COUNTED,
      total_is_minimum: true,
      has_next: false,
      has_prev: true,
    }
    t.match(beyond.pagination, known, 'no more than is known')
    t.match(beyond.link, new RegExp(`page=${edge}>; rel="prev"`))
    t.notMatch(beyond.link, /last/)
  }
  t.match((await page('search=many&min_price=2')).pagination, { total: 0 })
  t.match((await page(`search=many%20${all}`)).pagination, { total: 1, total_is_minimum: undefined })

  // Found by the index of contents, and so sorted afterwards, where all prices are the same.
  await app.database.db.execute(sql`analyze items`)
  for (const sort_dir of ['asc', 'desc']) {
    const { data } = await page(`search=many%2012&sort_by=price&sort_dir=${sort_dir}`)
    const ids: string[] = data.map(({ id }: { id: string }) => id)
    t.ok(ids.length > 50)
    const upwards = [...ids].sort()
    t.strictSame(ids, sort_dir === 'asc' ? upwards : upwards.reverse(), sort_dir)
  }
})

test('the number of rows up to which pages are numbered', async t => {
  const app = await build(t)
  const { headers } = await anOwner(app, [{}])
  const statuses = []
  for (const query of ['page=1000&per_page=100', 'page=100000&per_page=1', 'page=5000']) {
    statuses.push(await list(app, headers, query))
  }
  t.strictSame(counted(statuses), { 200: 3 })
  const refused = await list(app, headers, 'page=5001')
  t.match(refused.json().errors, [{ in: 'query', pointer: '/page', message: /use cursor/ }])
})

test('a list is not kept for others', async t => {
  const app = await build(t)
  const { headers } = await anOwner(app, [{}])
  const answer = await list(app, headers, '')
  t.equal(answer.headers['cache-control'], 'private, no-store')
  t.equal((await send(app, 'HEAD', '', headers)).statusCode, 200)
})
