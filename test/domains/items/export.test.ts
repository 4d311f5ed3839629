import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { and, eq, gt, lte, sql } from 'drizzle-orm'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import type { App } from '../../../src/app.ts'
import { items } from '../../../src/domains/items/tables.ts'
import { csvRow, defuse } from '../../../src/lib/csv.ts'
import { newId } from '../../../src/lib/id.ts'
import { holdsOnlyText, isText } from '../../../src/lib/text.ts'
import { serverUrl } from '../../database.ts'
import { aUser, build, listen, recordingLogger } from '../../helper.ts'
import { type AnItem, anItem, type Headers, path, send } from './calls.ts'
import {
  exportFile,
  FORMATS,
  givenOf,
  importFile,
  itemsIn,
  keyOf,
  manyItems,
  ndjson,
  rowsOf,
} from './files.ts'

/** Round trips of some items each; all of them take about a second on the embedded database. */
const RUNS = 25

const HEADER = 'id,user_id,title,description,status,price,metadata,version,created_at,updated_at\r\n'

const ALL_FIELDS = HEADER.trim()

test('each item is a line, as it would be answered alone', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const metadata = { color: 'red', 'ä "q"': [1.5, null] }
  const full = { title: 'Désk 😀', description: 'a, "b"\r\nc', status: 'published', price: '7', metadata }
  const [first, second] = [await anItem(app, headers, full), await anItem(app, headers)]
  const gone = await anItem(app, headers, { title: 'planted' })
  await send(app, 'DELETE', `/${gone.id}`, headers)
  await anItem(app, (await aUser(app)).headers, { title: 'planted' })

  for (const query of ['', 'format=ndjson']) {
    const answer = await exportFile(app, headers, query)
    t.equal(answer.statusCode, 200)
    t.equal(answer.headers['content-type'], 'application/x-ndjson')
    t.equal(answer.headers['content-disposition'], 'attachment; filename="items.ndjson"')
    t.match(answer.headers['cache-control'], /no-store/)
    t.equal(answer.body, ndjson([second, first]), 'the newest first, and nothing else')
  }
  const csv = await exportFile(app, headers, 'format=csv')
  t.equal(csv.headers['content-type'], 'text/csv; charset=utf-8')
  t.equal(csv.headers['content-disposition'], 'attachment; filename="items.csv"')
  const { id, user_id, created_at, updated_at } = first
  const row = [
    `${id},${user_id},Désk 😀,"a, ""b""\r\nc",published,7.00`,
    `"${JSON.stringify(first.metadata).replaceAll('"', '""')}",1,${created_at},${updated_at}\r\n`,
  ].join(',')
  const bare = `${second.id},${user_id},Lamp,,draft,0.00,{},1,${second.created_at},${second.updated_at}\r\n`
  t.equal(csv.body, `${HEADER}${bare}${row}`)
})

test('nothing is an empty file, or a header', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  for (const [format, body] of [
    ['ndjson', ''],
    ['csv', HEADER],
  ] as const) {
    const answer = await exportFile(app, headers, { format })
    t.strictSame([answer.statusCode, answer.body], [200, body])
  }
})

/** The whole list, page by page. */
async function walk(app: App, headers: Headers, query: string): Promise<AnItem[]> {
  const found: AnItem[] = []
  for (let cursor = ''; ; ) {
    const answer = await send(app, 'GET', `?per_page=9&fields=${ALL_FIELDS}&${query}${cursor}`, headers)
    const { data, pagination } = answer.json()
    found.push(...data)
    if (!pagination.has_next) return found
    cursor = `&cursor=${pagination.next_cursor}`
  }
}

const selections: [query: string, count: number][] = [
  ['', 60],
  ['status=published', 20],
  ['min_price=3.00&max_price=5', 18],
  ['created_from=2026-01-01T00:00:00.020Z&created_to=2026-01-01T00:00:00.040Z', 20],
  ['search=NEEDLE', 12],
  ['search=%25', 16],
  ['metadata.color=red', 30],
  ['metadata.color=red&metadata.n=7', 0],
  ['metadata.n=6&metadata.color=red', 1],
  ['status=draft&search=needle&min_price=1&metadata.color=red&sort_by=title&sort_dir=asc', 2],
  ['sort_by=title&sort_dir=asc', 60],
  ['sort_by=title', 60],
  ['sort_by=price&status=archived', 20],
  ['sort_by=status&sort_dir=asc', 60],
  ['sort_by=updated_at&sort_dir=asc', 60],
  ['status=published&created_to=2020-01-01T00:00:00Z', 0],
]

test('it holds what the list does, in its order', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const rows = Array.from({ length: 60 }, (_, n) => ({
    id: newId(),
    user_id,
    title: `${['b', 'B', 'ä', '😀', '%'][n % 5]} ${n % 12 === 3 ? '100%' : ''}`,
    description: n % 5 === 1 ? `a needle ${n}` : null,
    status: (['draft', 'published', 'archived'] as const)[n % 3],
    price: `${n % 10}.00`,
    metadata: n % 2 === 0 ? { color: 'red', n } : { n },
    created_at: new Date(Date.UTC(2026, 0, 1, 0, 0, 0, n)),
    updated_at: new Date(Date.UTC(2026, 0, 2, 0, 0, 0, n % 4)),
  }))
  await app.database.db.insert(items).values(rows)
  for (const [query, count] of selections) {
    const listed = await walk(app, headers, query)
    const exported = itemsIn((await exportFile(app, headers, query)).body)
    t.strictSame(exported, listed, query)
    t.equal(exported.length, count, query)
    const csv = await exportFile(app, headers, `format=csv&${query}`)
    const ids = csv.body.split('\r\n').slice(1, -1)
    t.strictSame(
      ids.map(line => line.slice(0, line.indexOf(','))),
      listed.map(({ id }) => id),
      query,
    )
  }
})

test('what cannot be asked for', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  for (const [query, pointer] of [
    ['format=xml', '/format'],
    ['format=', '/format'],
    ['format=csv&format=ndjson', '/format'],
    ['status=deleted', '/status'],
    ['min_price=-1', '/min_price'],
    ['created_from=yesterday', '/created_from'],
    ['sort_by=metadata', '/sort_by'],
    ['sort_dir=up', '/sort_dir'],
    ['user_id=me', '/user_id'],
  ] as const) {
    const answer = await exportFile(app, headers, query)
    t.match(answer.json(), { status: 400, errors: [{ in: 'query', pointer }] }, query)
    t.notOk('content-disposition' in answer.headers)
  }
  t.match((await exportFile(app, {})).json(), { status: 401, code: 'unauthenticated' })
  const writer = await keyOf(app, id, ['items:write'])
  t.match((await exportFile(app, writer)).json(), { status: 403, code: 'insufficient_scope' })
  const reader = await keyOf(app, id, ['items:read'])
  t.equal((await exportFile(app, reader)).statusCode, 200)
  t.match((await send(app, 'POST', '/export', headers)).json(), { status: 405, code: 'method_not_allowed' })
  // It is no operation of its own, and so asks for an item of this id.
  const head = await send(app, 'HEAD', '/export', headers)
  t.strictSame([head.statusCode, head.body], [405, ''])
})

test('an administrator exports whose items he wants, and nobody else does', async t => {
  const app = await build(t)
  const [owner, stranger, admin] = [await aUser(app), await aUser(app), await aUser(app, 'admin')]
  const editor = await aUser(app, 'editor')
  const item = await anItem(app, owner.headers)
  const own = await anItem(app, admin.headers)
  const of = { user_id: owner.id.toUpperCase() }
  t.equal((await exportFile(app, admin.headers, of)).body, ndjson([item]))
  t.equal((await exportFile(app, admin.headers)).body, ndjson([own]), 'his own, if he does not say')
  t.equal((await exportFile(app, owner.headers, of)).body, ndjson([item]))
  for (const { headers } of [stranger, editor]) {
    const answer = await exportFile(app, headers, { ...of, format: 'csv' })
    t.match(answer.json(), { status: 403, code: 'forbidden' })
    t.notMatch(answer.body, item.id)
  }
})

for (const count of [499, 500, 501, 1_001]) {
  test(`${count} items are so many lines, each once`, async t => {
    const app = await build(t)
    const { id, headers } = await aUser(app)
    await manyItems(app, id, count)
    const numbered = (titles: string[]) => titles.map(title => Number(title.slice('Item '.length)))
    const downwards = Array.from({ length: count }, (_, index) => count - index)
    const titles = itemsIn((await exportFile(app, headers)).body).map(({ title }) => title)
    t.strictSame(numbered(titles), downwards)
    // All of them have the same status, so that it does not tell where a batch ends.
    for (const sort_dir of ['asc', 'desc']) {
      const ids = itemsIn((await exportFile(app, headers, { sort_by: 'status', sort_dir })).body).map(
        ({ id }) => id,
      )
      const sorted = [...new Set(ids)].sort()
      t.strictSame([ids.length, ids], [count, sort_dir === 'asc' ? sorted : sorted.reverse()])
    }
    const csv = (await exportFile(app, headers, { format: 'csv', sort_dir: 'asc' })).body.split('\r\n')
    t.strictSame(numbered(csv.slice(1, -1).map(row => row.split(',')[2] ?? '')), downwards.reverse())
  })
}

const RUN = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']

test('no cell is run as a formula by a spreadsheet', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const texts = RUN.flatMap(first => [`${first}1+2`, first, `'${first}x`, `''${first}x`])
  const harmless = ["'", "'x", 'x=1', '1', ' =1', '"=1"', 'null']
  const all = [...texts, ...harmless]
  const metadata = { '=1+1': '=1+1' }
  const lines = all.map(title => ({ title, description: title, price: 1, status: 'archived', metadata }))
  t.match((await importFile(app, headers, 'ndjson', ndjson(lines))).json(), { imported: all.length })
  const { body } = await exportFile(app, headers, 'format=csv&sort_dir=asc')
  const rows = itemsIn((await exportFile(app, headers, 'sort_dir=asc')).body)
  const cell = (text: string) => (/[",;\t\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
  const json = cell(JSON.stringify(metadata))
  const expected = all.map((title, index) => {
    const text = cell(texts.includes(title) ? `'${title}` : title)
    const { id: own, created_at, updated_at } = rows[index] as AnItem
    return `${own},${id},${text},${text},archived,1.00,${json},1,${created_at},${updated_at}\r\n`
  })
  t.equal(body, HEADER + expected.join(''))
})

/** 20 MB, more than what the operating system takes over from a sender whose reader does not read. */
const MANY = 2_500
const FILLER = 8_000

/** An export that nobody reads. */
async function slowly(t: Test, port: number, headers: Headers, query = '') {
  const outgoing = request({ host: '127.0.0.1', port, path: `${path}/export?${query}`, headers })
  outgoing.on('error', () => {})
  outgoing.end()
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  t.teardown(() => outgoing.destroy())
  t.equal(response.statusCode, 200)
  return { outgoing, response, rest: async () => (await response.setEncoding('utf8').toArray()).join('') }
}

/** Sees how often the list is read, and by which streams it is sent. */
function watched(t: Test, app: App) {
  const { db } = app.database
  const seen = { reads: 0, streams: [] as Readable[] }
  t.intercept(db, 'select', {
    value: (...args: never[]) => {
      seen.reads++
      return Reflect.apply(Object.getPrototypeOf(db).select, db, args)
    },
  })
  const { from } = Readable
  t.intercept(Readable, 'from', {
    value: (...args: Parameters<typeof from>) => {
      const stream = from(...args)
      seen.streams.push(stream)
      return stream
    },
  })
  return {
    seen,
    /** When the reader has been too slow for some time. */
    async stalled() {
      for (let reads = -1; reads !== seen.reads; ) {
        reads = seen.reads
        await sleep(100)
      }
      return seen.reads
    },
  }
}

test('what comes and goes while somebody reads slowly does not disturb what stays', async t => {
  const { app, port } = await listen(t)
  const { db } = app.database
  const { id: user_id, headers } = await aUser(app)
  await manyItems(app, user_id, MANY, FILLER)
  const number = sql<number>`substr(${items.title}, 6)::int`
  const { seen, stalled } = watched(t, app)
  const { rest } = await slowly(t, port, headers)
  t.ok((await stalled()) < MANY / 500 - 1, `${seen.reads} batches were read`)
  const own = eq(items.user_id, user_id)
  await db
    .update(items)
    .set({ deleted_at: new Date() })
    .where(and(own, lte(number, 100)))
  await db.delete(items).where(and(own, gt(number, 100), lte(number, 200)))
  await db.delete(items).where(and(own, gt(number, MANY - 100)))
  const come = (title: string, year: number) =>
    db.insert(items).values({ user_id, title, created_at: new Date(Date.UTC(year, 0, 1)) })
  await come('Newer', 2027)
  await come('Older', 2025)
  const titles = itemsIn(await rest()).map(({ title }) => title)
  t.strictSame(titles, [...Array.from({ length: MANY - 200 }, (_, index) => `Item ${MANY - index}`), 'Older'])
})

test('a reader who goes away leaves nothing running', async t => {
  const { logger, lines } = recordingLogger('info')
  const { app, port } = await listen(t, { logger })
  const { id, headers } = await aUser(app)
  await manyItems(app, id, MANY, FILLER)
  const { seen, stalled } = watched(t, app)
  const { outgoing, response } = await slowly(t, port, headers, 'format=csv')
  response.resume()
  await once(response, 'data')
  response.pause()
  await stalled()
  outgoing.destroy()
  const [stream] = seen.streams
  for (let tries = 0; !stream?.destroyed && tries < 200; tries++) await sleep(5)
  t.equal(stream?.destroyed, true)
  t.ok(seen.reads < MANY / 500, `${seen.reads} batches were read`)
  t.notOk(
    lines().some(({ level }) => level >= 50),
    'it is no failure of ours',
  )
  t.equal((await exportFile(app, headers, 'search=Item%2077')).statusCode, 200, 'the service goes on')
})

test('a failure in the middle cuts the connection, and one before is an answer', async t => {
  const { logger, lines } = recordingLogger('info')
  const { app, port } = await listen(t, { logger })
  const { db } = app.database
  const { id, headers } = await aUser(app)
  await manyItems(app, id, MANY, FILLER)
  const { stalled } = watched(t, app)
  const { response, rest } = await slowly(t, port, headers)
  await stalled()
  await db.execute(sql`alter table items rename to items_away`)
  for (const format of FORMATS) {
    const early = await exportFile(app, headers, { format })
    t.equal(early.statusCode, 500)
    t.match(early.headers['content-type'], /^application\/problem\+json/)
    t.notOk('content-disposition' in early.headers, 'a problem is no file')
  }
  await t.rejects(rest(), { code: 'ECONNRESET' }, 'it has no proper end')
  t.equal(response.complete, false)
  await db.execute(sql`alter table items_away rename to items`)
  t.equal(lines().filter(({ msg }) => /terminated/.test(msg)).length, 1, 'the log says so')
})

const levelsOf = (value: unknown): number =>
  typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(levelsOf)) : 0

const starts = fc.constantFrom(
  '',
  ...RUN,
  "'",
  "''",
  "'=",
  "''@",
  '"',
  ',',
  ';',
  ' ',
  '\r\n',
  '\u2028',
  '\ufeff',
)

/** The embedded database's driver loses a byte order mark at the start of a text. */
const comesBack = (value: string) => isText(value) && (serverUrl !== undefined || !value.startsWith('\ufeff'))

const text = (maxLength: number) =>
  fc
    .tuple(
      starts,
      fc.string({
        unit: fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), starts),
        maxLength,
      }),
    )
    .map(parts => [...parts.join('')].slice(0, maxLength).join(''))
    .filter(comesBack)

const anything = fc.record(
  {
    title: text(255).filter(title => title !== ''),
    description: fc.option(text(300).filter(description => description !== '')),
    status: fc.constantFrom('draft', 'published', 'archived'),
    price: fc
      .nat(9_999_999_999)
      .map(cents => `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`),
    metadata: fc
      .dictionary(
        fc.oneof(text(20), fc.constantFrom('=1', "'", 'id')),
        fc.jsonValue({ stringUnit: 'binary' }),
        { maxKeys: 5, noNullPrototype: true },
      )
      .map(value => JSON.parse(JSON.stringify(value)))
      .filter(value => holdsOnlyText(value) && levelsOf(value) <= 8)
      .filter(value => !/"(__proto__|constructor)"/.test(JSON.stringify(value))),
  },
  { noNullPrototype: true },
)

test('what is exported and imported by somebody else is the same', async t => {
  const app = await build(t)
  const seed = Date.now() & 0x7fffffff
  t.comment(`seed ${seed}, ${RUNS} runs`)
  const owner = await aUser(app)
  const heirs = { ndjson: await aUser(app), csv: await aUser(app) }
  const takeOver = async (who: typeof owner, format: 'ndjson' | 'csv', file: string) => {
    await app.database.db.delete(items).where(eq(items.user_id, who.id))
    const answer = await importFile(app, who.headers, format, file)
    if (answer.json().failed !== 0) throw new Error(answer.body)
    return (await rowsOf(app, who.id)).map(givenOf)
  }
  let count = 0
  const property = fc.asyncProperty(fc.array(anything, { minLength: 1, maxLength: 12 }), async given => {
    count += given.length
    const kept = await takeOver(owner, 'ndjson', ndjson(given))
    if (!isDeepStrictEqual(kept, given)) throw new Error('It was not imported as it was given.')
    for (const format of FORMATS) {
      const { body } = await exportFile(app, owner.headers, { format, sort_dir: 'asc' })
      const again = await takeOver(heirs[format], format, body)
      if (!isDeepStrictEqual(again, given)) throw new Error(`${format} has changed it.`)
    }
  })
  await fc.assert(property, { numRuns: RUNS, seed })
  t.pass(`${count} items came back`)
})

test('in CSV, an empty description is none', async t => {
  const app = await build(t)
  const [owner, heir] = [await aUser(app), await aUser(app)]
  await anItem(app, owner.headers, { description: '' })
  for (const [format, description] of [
    ['ndjson', ''],
    ['csv', null],
  ] as const) {
    const { body } = await exportFile(app, owner.headers, { format })
    await importFile(app, heir.headers, format, body)
    t.equal((await rowsOf(app, heir.id)).at(-1)?.description, description)
  }
})

test('a file of formulas is imported as what it was', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const titles = RUN.flatMap(first => [`${first}x`, `'${first}x`, `''${first}x`])
  const file = csvRow(['title']) + titles.map(title => csvRow([title])).join('')
  t.ok(titles.every(title => defuse(title) !== title))
  t.match((await importFile(app, headers, 'csv', file)).json(), { imported: titles.length, failed: 0 })
  t.strictSame(
    (await rowsOf(app, id)).map(({ title }) => title),
    titles,
  )
})
