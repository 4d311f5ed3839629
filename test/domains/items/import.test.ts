import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { type Test, test } from 'tap'
import type { App } from '../../../src/app.ts'
import { connectPostgres } from '../../../src/db/postgres.ts'
import { inTransaction } from '../../../src/db/transaction.ts'
import { importItems } from '../../../src/domains/items/import.ts'
import { systemActor } from '../../../src/lib/actor.ts'
import { createServerDatabase, databaseVariables, serverUrl } from '../../database.ts'
import { aUser, build, listen, recordingLogger, testConfig } from '../../helper.ts'
import { filesOpenAs } from '../../lib/open-files.ts'
import { startServer } from '../../processes.ts'
import { CHEAP, newcomer } from '../auth/people.ts'
import { eventsOf, type Headers, path, send } from './calls.ts'
import {
  CSV,
  exportFile,
  FORMATS,
  type Format,
  givenOf,
  importFile,
  itemsIn,
  keyOf,
  NDJSON,
  ndjson,
  type Result,
  rowsOf,
} from './files.ts'

/** What came of a file that could be read. */
async function resultOf(app: App, headers: Headers, format: Format, file: string | Buffer, query = '') {
  const answer = await importFile(app, headers, format, file, query)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json() as Result
}

const all = (imported: number): Result => ({ imported, failed: 0, errors: [] })

const titlesOf = async (app: App, user_id: string) => (await rowsOf(app, user_id)).map(({ title }) => title)

const statsOf = async (app: App, headers: Headers) => (await send(app, 'GET', '/stats', headers)).json()

const nothing = { title: 'x', description: null, status: 'draft', price: '0.00', metadata: {} }
const METADATA = { color: 'red', 'ä "q"': [1.5, null, { deep: true }], '': '' }

/** A line of JSON, and the item that it becomes. */
const lines: [object, object][] = [
  [{ title: 'x' }, {}],
  [{ title: 'x', description: null, metadata: {} }, {}],
  [{ title: 'x', description: '' }, { description: '' }],
  [{ title: ' Désk\tlamp\u2028😀 ' }, { title: ' Désk\tlamp\u2028😀 ' }],
  [{ title: "'=not a cell" }, { title: "'=not a cell" }],
  [{ title: 'x', description: 'a\nb\r\n"c"' }, { description: 'a\nb\r\n"c"' }],
  [{ title: 'x', status: 'published' }, { status: 'published' }],
  [{ title: 'x', status: 'archived' }, { status: 'archived' }],
  [{ title: 'x', price: '12.5' }, { price: '12.50' }],
  [{ title: 'x', price: '00000001' }, { price: '1.00' }],
  [{ title: 'x', price: 0.07 }, { price: '0.07' }],
  [{ title: 'x', price: 5 }, { price: '5.00' }],
  [{ title: 'x', price: '99999999.99' }, { price: '99999999.99' }],
  [{ title: 'x', price: 99_999_999.99 }, { price: '99999999.99' }],
  [{ title: 'x', metadata: METADATA }, { metadata: METADATA }],
  [{ title: '😀'.repeat(255), description: '€'.repeat(10_000) }, {}],
].map(([line, item]) => [line as object, { ...nothing, ...line, ...item }])

test('lines of JSON become items', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const answer = await importFile(app, headers, 'ndjson', ndjson(lines.map(([line]) => line)))
  t.equal(answer.statusCode, 200)
  t.match(answer.headers['content-type'], /^application\/json/)
  t.strictSame(answer.json(), all(lines.length))
  const rows = await rowsOf(app, user_id)
  t.strictSame(
    rows.map(givenOf),
    lines.map(([, item]) => item),
    'in the order of their lines',
  )
  for (const { version, created_at, updated_at, deleted_at } of rows) {
    t.ok(Math.abs(Date.now() - created_at.getTime()) < 60_000)
    t.strictSame([version, updated_at, deleted_at], [1, created_at, null])
  }
  const { id } = rows.find(({ price }) => price === '12.50') ?? {}
  t.match((await send(app, 'GET', `/${id}`, headers)).json(), { id, user_id, price: '12.50', version: 1 })
})

test('rows of CSV become items', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`
  const file = [
    'price,metadata,title,status,description\r\n',
    ',,x,,\r\n',
    '"","","x","",""\r\n',
    '12.5,,x,published,"a, ""b"";\tc"\r\n',
    `00000001,${quoted(JSON.stringify(METADATA))},x,archived,"1\n2\r\n\r\n5"\r\n`,
    `99999999.99,{}," Désk\tlamp\u2028😀 ",draft,null\r\n`,
    `0,,${'😀'.repeat(255)},,${'€'.repeat(10_000)}\r\n`,
    `,,'=SUM(A1),,''x\r\n`,
  ].join('')
  t.strictSame(await resultOf(app, headers, 'csv', file), all(7))
  t.strictSame((await rowsOf(app, user_id)).map(givenOf), [
    nothing,
    nothing,
    { ...nothing, price: '12.50', status: 'published', description: 'a, "b";\tc' },
    { ...nothing, price: '1.00', status: 'archived', metadata: METADATA, description: '1\n2\r\n\r\n5' },
    { ...nothing, price: '99999999.99', title: ' Désk\tlamp\u2028😀 ', description: 'null' },
    { ...nothing, title: '😀'.repeat(255), description: '€'.repeat(10_000) },
    { ...nothing, title: '=SUM(A1)', description: "''x" },
  ])
})

/** Files that say the same in another way, and the titles that are in them. */
const files: [string, Format, string | Buffer, string[]][] = [
  ['no bytes', 'ndjson', '', []],
  ['blank lines alone', 'ndjson', '\ufeff\n\r\n \t\n', []],
  ['blank lines between', 'ndjson', '\n{"title":"a"}\n\n \t\r\n{"title":"b"}\n\n', ['a', 'b']],
  ['a mark, CRLF, and no last line end', 'ndjson', '\ufeff{"title":"a"}\r\n{"title":"b"}', ['a', 'b']],
  ['spaces around', 'ndjson', ' \t{ "title" : "a" } \n', ['a']],
  ['a name twice', 'ndjson', '{"title":"a","title":"b"}', ['b']],
  ['a header alone', 'csv', 'title', []],
  ['a header and blank lines', 'csv', 'title\r\n\r\n\n', []],
  ['a mark', 'csv', '\ufefftitle\na\n', ['a']],
  ['a mark before quotes', 'csv', '\ufeff"title"\n"a"\n', ['a']],
  ['CRLF', 'csv', 'title\r\na\r\nb\r\n', ['a', 'b']],
  ['CR', 'csv', 'title\ra\rb', ['a', 'b']],
  ['blank lines', 'csv', '\n\ntitle\n\na\n\r\n\nb\n\n', ['a', 'b']],
  ['quotes', 'csv', '"title"\n"a ""b"", c;\td"\n', ['a "b", c;\td']],
  ['line ends in quotes', 'csv', 'title\n"a\nb\r\nc\rd"\n', ['a\nb\r\nc\rd']],
  ['columns that are made anew', 'csv', 'version,id,title\n7,no id,a\n"",,b\n', ['a', 'b']],
  ['apostrophes', 'csv', "title\n'a\n'=b\n''-c\n'\n", ["'a", '=b', "'-c", "'"]],
  ['a million bytes of blank lines', 'csv', `${'\n'.repeat(1_000_000)}title\na\n`, ['a']],
]

test('the same may be written in many ways', async t => {
  const app = await build(t)
  for (const [name, format, file, titles] of files) {
    const { id, headers } = await aUser(app)
    const bytes = Buffer.concat([Buffer.from(file)])
    t.strictSame(await resultOf(app, headers, format, bytes), all(titles.length), `${format}: ${name}`)
    t.strictSame(await titlesOf(app, id), titles, name)
  }
})

const headerFaults: [string, string, [string, RegExp][]][] = [
  ['no bytes', '', [['missing_header', /row of column names/]]],
  ['line ends alone', '\ufeff\r\n\n', [['missing_header', /row of column names/]]],
  ['semicolons', 'title;price\na;1\n', [['separator', /commas.*semicolons/]]],
  ['semicolons and quotes', '"title";"price"\n"a";"1"\n', [['stray_quote', /commas/]]],
  ['tabs', 'title\tprice\na\t1\n', [['separator', /commas.*tabs/]]],
  ['an unknown column', 'title,color\na,red\n', [['unknown_column', /"color"/]]],
  ['a column that no client sees', 'title,deleted_at\na,\n', [['unknown_column', /"deleted_at"/]]],
  ['a space', 'title, price\na,1\n', [['unknown_column', /" price"/]]],
  ['no title', 'price,status\n1,draft\n', [['missing_column', /"title"/]]],
  ['a column twice', 'title,price,title\na,1,b\n', [['repeated_column', /"title"/]]],
  [
    'capitals',
    'Title\na\n',
    [
      ['unknown_column', /"Title"/],
      ['missing_column', /"title"/],
    ],
  ],
  ['lines of JSON', '{"title":"a"}\n', [['stray_quote', /quote/]]],
]

test('a header that cannot be read is a fault of the file', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  for (const [name, file, expected] of headerFaults) {
    for (const query of ['', '?dry_run=true']) {
      const { statusCode, ...answer } = await importFile(app, headers, 'csv', file, query)
      const { code, errors = [] } = answer.json()
      t.strictSame([statusCode, code], [400, 'validation_failed'], name)
      t.match(
        errors,
        expected.map(([code, message]) => ({ in: 'body', code, message })),
        name,
      )
      t.equal(errors.length, expected.length, name)
    }
  }
  t.strictSame(await rowsOf(app, id), [])
  t.strictSame(await eventsOf(app, id), [])
})

const levels = (count: number): unknown => (count === 0 ? 1 : { a: levels(count - 1) })
const invalid = 'validation_failed'
const overlong = 'x'.repeat(256 * 1024)

/** Lines of JSON that are no items; the code, and what is said of it. */
const badLines: [string | Buffer, string, RegExp][] = [
  ['{"title":"a"', 'malformed_json', /^The line is not valid JSON\.$/],
  ["{'title':'a'}", 'malformed_json', /JSON/],
  ['{"title":"a"}{"title":"b"}', 'malformed_json', /JSON/],
  ['{"title":"a","__proto__":{}}', 'malformed_json', /JSON/],
  ['5', invalid, /^must be object$/],
  ['null', invalid, /^must be object$/],
  ['"a"', invalid, /^must be object$/],
  ['[{"title":"a"}]', invalid, /^must be object$/],
  ['{}', invalid, /^title is required$/],
  ['{"title":"a","color":"red"}', invalid, /^color is not a known field$/],
  ['{"title":"a","deleted_at":null}', invalid, /^deleted_at is not a known field$/],
  ['{"title":5}', invalid, /^title must be string$/],
  ['{"title":null}', invalid, /^title must be string$/],
  ['{"title":""}', invalid, /^title /],
  [JSON.stringify({ title: 'x'.repeat(256) }), invalid, /^title .*255/],
  [JSON.stringify({ title: 'x', description: 'x'.repeat(10_001) }), invalid, /^description .*10000/],
  ['{"title":"a","status":"deleted"}', invalid, /^status must be one of draft, published, archived$/],
  ['{"title":"a","price":"1.234"}', invalid, /^price must be a decimal/],
  ['{"title":"a","price":-1}', invalid, /^price must be a decimal/],
  ['{"title":"a","price":100000000}', invalid, /^price must be a decimal/],
  ['{"title":"a","price":null}', invalid, /^price must be/],
  [JSON.stringify({ title: 'a', metadata: { a: 'x'.repeat(16_384) } }), invalid, /^metadata .*16 KiB/],
  [JSON.stringify({ title: 'a', metadata: levels(9) }), invalid, /^metadata .*8 levels/],
  ['{"title":"a","metadata":[]}', invalid, /^metadata must be/],
  ['{"title":"a","metadata":"{}"}', invalid, /^metadata must be/],
  ['{"title":5,"price":"x","color":1}', invalid, /^(?=.*title must)(?=.*price must)(?=.*color is)/],
  ['{"title":"a\\u0000"}', 'invalid_text', /NUL/],
  ['{"title":"a","metadata":{"\\ud800":1}}', 'invalid_text', /surrogate/],
  ['{"title":"a\0"}', 'malformed_json', /JSON/],
  [Buffer.from('{"title":"\xe4"}', 'latin1'), 'invalid_utf8', /UTF-8/],
  [`{"title":"${overlong}"}`, 'too_long', /too long/],
]

/** The same of rows with the columns `title,description,price,metadata,status`, and how many lines they take. */
const badRows: [string | Buffer, string, RegExp, number?][] = [
  ['a', 'cell_count', /5 cells.* 1$/],
  ['a,,,,,', 'cell_count', /5 cells.* 6$/],
  ['a"b,,,,', 'stray_quote', /quote/],
  ['"a"b,,,,', 'stray_quote', /quote/],
  ['"a\n\nb"c,,,,', 'stray_quote', /quote/, 3],
  [',,,,', invalid, /^title /],
  [`${'x'.repeat(256)},,,,`, invalid, /^title .*255/],
  [`"${'x\n'.repeat(5_001)}",,,,`, invalid, /^title .*255/, 5_002],
  [`a,${'x'.repeat(10_001)},,,`, invalid, /^description .*10000/],
  ['a,,"1,50",,', invalid, /^price must be a decimal/],
  ['a,,NaN,,', invalid, /^price must be a decimal/],
  ['a,,,,deleted', invalid, /^status must be one of/],
  ['a,,,red,', 'malformed_json', /^metadata is not valid JSON\.$/],
  ['a,,,[],', invalid, /^metadata must be/],
  ['a,,,"""red""",', invalid, /^metadata must be/],
  ['a,,,"{""a"":""\\u0000""}",', 'invalid_text', /^metadata .*NUL/],
  [`a,,,"{""a"":""${'x'.repeat(16_384)}""}",`, invalid, /^metadata .*16 KiB/],
  [`a,,,"${JSON.stringify(levels(9)).replaceAll('"', '""')}",`, invalid, /^metadata .*8 levels/],
  ['a\0,,,,', 'invalid_text', /NUL/],
  ['a,\0,,,', 'invalid_text', /NUL/],
  ['a,,,\0,', 'invalid_text', /NUL/],
  ['a,,\0,,', invalid, /^price/],
  ['a,,,,\0', invalid, /^status/],
  [Buffer.from('\xe4,,,,', 'latin1'), 'invalid_utf8', /UTF-8/],
  [`${overlong},,,,`, 'too_long', /too long/],
  [`"${'x\n'.repeat(128 * 1024)}",,,,`, 'too_long', /too long/, 128 * 1024 + 1],
]

/** A file with a good line before and behind each bad one, and what is to be said of it. */
function interleaved(head: string, good: string, bad: [string | Buffer, string, RegExp, number?][]) {
  let line = head === '' ? 1 : 2
  const parts = [Buffer.from(head), Buffer.from(good)]
  const errors = bad.map(([text, code, message, count = 1]) => {
    parts.push(Buffer.from(text), Buffer.from('\n\n'), Buffer.from(good))
    const error = { line: line + 1, code, message }
    line += count + 2
    return error
  })
  return { file: Buffer.concat(parts), errors, good: bad.length + 1 }
}

const faulty = {
  ndjson: interleaved('', '{"title":"good"}\n', badLines),
  csv: interleaved('title,description,price,metadata,status\n', 'good,,,,\n', badRows),
}

for (const format of FORMATS) {
  test(`${format}: each line that is no item is told, and the others are imported`, async t => {
    const app = await build(t)
    const { id, headers } = await aUser(app)
    const { file, errors, good } = faulty[format]
    const dry = await resultOf(app, headers, format, file, '?dry_run=true')
    t.strictSame(await rowsOf(app, id), [])
    t.strictSame(await eventsOf(app, id), [], 'a dry run is no event')
    t.match(await statsOf(app, headers), { total: 0 })

    const result = await resultOf(app, headers, format, file)
    t.strictSame([result.imported, result.failed], [good, errors.length])
    for (const [index, error] of errors.entries()) t.match(result.errors[index], error, `${error.line}`)
    t.equal(result.errors.length, errors.length)
    t.strictSame(result, dry, 'a dry run tells the same')
    t.strictSame(await titlesOf(app, id), Array(good).fill('good'))
    t.notMatch(JSON.stringify(result), /xxxx|\\u0000|\\\\u0000/, 'what was sent is not sent back')
  })
}

test('a quote that is never closed takes the rest of the file with it', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const result = await resultOf(app, headers, 'csv', 'title\na\n\n"b\nc\nd\n')
  t.match(result, { imported: 1, failed: 1, errors: [{ line: 4, code: 'unclosed_quote' }] })
  t.strictSame(await titlesOf(app, id), ['a'])
})

test('depth of JSON is a fault of its line, however deep', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const deep = (depth: number) => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`
  for (const depth of [8, 100, 5_000, 100_000]) {
    const line = `{"title":"deep","metadata":${deep(depth)}}\n`
    const answer = await importFile(app, headers, 'ndjson', `${line}{"title":"good"}\n`)
    t.match(answer.json(), { imported: 1, failed: 1, errors: [{ line: 1, code: invalid }] }, String(depth))
    const row = `deep,"${deep(depth).replaceAll('"', '""')}"\n`
    const other = await importFile(app, headers, 'csv', `title,metadata\n${row}good,\n`)
    t.match(other.json(), { imported: 1, failed: 1, errors: [{ line: 2, code: invalid }] }, String(depth))
  }
  t.strictSame(await titlesOf(app, id), Array(8).fill('good'))
})

test('of 150 faults the first 100 are told, and all are counted', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const file = `${'{}\n'.repeat(149)}{"title":"good"}\n\n{}\n`
  const result = await resultOf(app, headers, 'ndjson', file)
  t.strictSame([result.imported, result.failed], [1, 150])
  t.strictSame(
    result.errors.map(({ line }) => line),
    Array.from({ length: 100 }, (_, index) => index + 1),
  )
  t.strictSame(await resultOf(app, headers, 'ndjson', file, '?dry_run=true'), result)
  t.strictSame(await titlesOf(app, id), ['good'])
})

test('a dry run changes nothing, and only a dry run does', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  for (const query of ['?dry_run=perhaps', '?dry_run=1', '?dry_run=']) {
    const answer = await importFile(app, headers, 'csv', 'title\na\n', query)
    t.match(answer.json(), { status: 400, errors: [{ in: 'query', pointer: '/dry_run' }] }, query)
  }
  t.strictSame(await resultOf(app, headers, 'csv', 'title\na\n', '?dry_run=true'), all(1))
  t.strictSame(await rowsOf(app, id), [])
  t.strictSame(await eventsOf(app, id), [])
  t.strictSame(await resultOf(app, headers, 'csv', 'title\na\n', '?dry_run=false'), all(1))
  t.strictSame(await titlesOf(app, id), ['a'])
})

test('an import is one event, and none where nothing was imported', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  for (const file of ['', '{}\n{}\n']) await resultOf(app, headers, 'ndjson', file)
  t.strictSame(await eventsOf(app, id), [])

  const origin = { 'x-request-id': 'of-import', 'user-agent': 'tests' }
  await resultOf(app, { ...headers, ...origin }, 'ndjson', '{"title":"a"}\n{}\n{"title":"b"}\n')
  const key = await keyOf(app, id, ['items:write'])
  await resultOf(app, key, 'csv', 'title\na\n')
  const recorded = await eventsOf(app, id)
  const shared = { type: 'item.imported', owner_id: id, subject_type: 'item', subject_id: null }
  t.match(recorded, [
    { ...shared, actor_type: 'user', actor_id: id, request_id: 'of-import', user_agent: 'tests' },
    { ...shared, actor_type: 'api_key' },
  ])
  t.strictSame(
    recorded.map(({ changes }) => changes),
    [
      { imported: [null, 2], failed: [null, 1] },
      { imported: [null, 1], failed: [null, 0] },
    ],
  )
})

test('what was imported is counted, found and sorted at once', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const COUNT = 2_500
  const line = (n: number) => ({
    title: `Item ${n}`,
    description: n === 1_234 ? 'a needle' : null,
    status: (['draft', 'published', 'archived'] as const)[n % 3],
    price: n % 100,
    metadata: { n },
  })
  const file = ndjson(Array.from({ length: COUNT }, (_, n) => line(n)))
  const other = await aUser(app)
  await resultOf(app, other.headers, 'ndjson', ndjson([line(1_234)]))
  t.strictSame(await resultOf(app, headers, 'ndjson', file), all(COUNT))
  const expected = { total: COUNT, draft: 834, published: 833, archived: 833 }
  t.strictSame(await statsOf(app, headers), expected)
  t.strictSame(
    await titlesOf(app, id),
    Array.from({ length: COUNT }, (_, n) => `Item ${n}`),
    'in the order of the file',
  )
  for (const query of ['search=NEEDLE', 'search=m%201234', 'metadata.n=1234']) {
    const { data, pagination } = (await send(app, 'GET', `?${query}`, headers)).json()
    t.match(
      [pagination.total, data],
      [1, [{ title: 'Item 1234', status: 'published', price: '34.00' }]],
      query,
    )
  }
  const newest = (await send(app, 'GET', '?per_page=3', headers)).json()
  t.match(
    [newest.pagination.total, newest.data],
    [COUNT, [2499, 2498, 2497].map(n => ({ title: `Item ${n}` }))],
  )
  t.strictSame(
    (await eventsOf(app, id)).map(({ changes }) => changes),
    [{ imported: [null, COUNT], failed: [null, 0] }],
  )
})

test('files that are not taken', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  const file = '{"title":"a"}\n'
  const withHeaders = (more: Headers) => importFile(app, { ...headers, ...more }, 'ndjson', file)
  for (const [status, code, more] of [
    [415, 'unsupported_media_type', { 'content-type': 'application/json' }],
    [415, 'unsupported_media_type', { 'content-type': 'text/plain' }],
    [415, 'unsupported_media_type', { 'content-type': `${CSV}; charset=iso-8859-1` }],
    [415, 'unsupported_media_type', { 'content-encoding': 'gzip' }],
    [413, 'payload_too_large', { 'content-length': String(100 * 1024 * 1024 + 1) }],
  ] as const) {
    t.match((await withHeaders(more)).json(), { status, code }, JSON.stringify(more))
  }
  t.match((await importFile(app, {}, 'ndjson', file)).json(), { status: 401, code: 'unauthenticated' })
  const reader = await keyOf(app, id, ['items:read'])
  t.match((await importFile(app, reader, 'ndjson', file)).json(), { status: 403, code: 'insufficient_scope' })
  t.equal((await app.inject({ method: 'POST', url: `${path}/import`, headers })).statusCode, 415)
  t.strictSame(await rowsOf(app, id), [])
  const writer = await keyOf(app, id, ['items:write'])
  t.equal((await importFile(app, writer, 'ndjson', file)).statusCode, 200)
  const plain = { 'content-type': `${NDJSON}; charset=UTF-8` }
  t.equal((await withHeaders(plain)).statusCode, 200)
  t.strictSame(await titlesOf(app, id), ['a', 'a'])
})

test('under a key, a file is imported once', async t => {
  const app = await build(t)
  const { id, headers } = await aUser(app)
  // More than a statement, so that the transaction that stays open is the one with the settings.
  const file = ndjson([...Array.from({ length: 1_100 }, (_, n) => ({ title: `${n}` })), {}])
  const keyed = { ...headers, 'idempotency-key': 'k' }
  const first = await importFile(app, keyed, 'ndjson', file)
  t.match(first.json(), { imported: 1_100, failed: 1 })
  t.notOk('idempotency-replayed' in first.headers)
  const again = await importFile(app, keyed, 'ndjson', file)
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.strictSame([again.statusCode, again.body], [200, first.body])
  for (const [other, query] of [
    [`${file}\n`, ''],
    [file, '?dry_run=true'],
  ] as const) {
    const { statusCode, ...answer } = await importFile(app, keyed, 'ndjson', other, query)
    t.strictSame([statusCode, answer.json().code], [422, 'idempotency_mismatch'], query)
  }
  t.equal((await rowsOf(app, id)).length, 1_100)
  t.equal((await eventsOf(app, id)).length, 1)

  const faulty = { ...headers, 'idempotency-key': 'of a header' }
  const refused = await importFile(app, faulty, 'csv', 'color\nred\n')
  t.equal(refused.statusCode, 400)
  const refusedAgain = await importFile(app, faulty, 'csv', 'color\nred\n')
  t.strictSame([refusedAgain.headers['idempotency-replayed'], refusedAgain.body], ['true', refused.body])
  const dry = { ...headers, 'idempotency-key': 'dry' }
  for (const replayed of [undefined, 'true']) {
    const answer = await importFile(app, dry, 'ndjson', '{"title":"a"}', '?dry_run=true')
    t.strictSame([answer.json(), answer.headers['idempotency-replayed']], [all(1), replayed])
  }
  t.equal((await rowsOf(app, id)).length, 1_100)
})

const openUploads = () => filesOpenAs('.upload').length

/** Files are closed a moment after the answer. */
async function allClosed(t: Test) {
  for (let tries = 0; openUploads() > 0 && tries < 200; tries++) await sleep(5)
  t.equal(openUploads(), 0, 'the temporary file is closed')
}

/** A socket with the beginning of a file on it, which is being received. */
async function begun(t: Test, port: number, { authorization }: { authorization: string }, framing: string) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  const head = `POST ${path}/import HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Type: ${NDJSON}\r\n`
  const file = '{"title":"a"}\n'.repeat(5)
  socket.write(
    framing === 'chunked'
      ? `${head}Transfer-Encoding: chunked\r\n\r\n${file.length.toString(16)}\r\n${file}\r\n`
      : `${head}Content-Length: 1000\r\n\r\n${file}`,
  )
  for (let tries = 0; openUploads() === 0 && tries < 200; tries++) await sleep(5)
  t.equal(openUploads(), 1, 'it is being received')
  return socket
}

for (const framing of ['chunked', 'of a known length']) {
  test(`a file that breaks off, ${framing}, is not imported at all`, async t => {
    const { logger, lines } = recordingLogger('info')
    const { app, port } = await listen(t, { logger })
    const { id, headers } = await aUser(app)
    const broken = await begun(t, port, headers, framing)
    broken.destroy()
    await allClosed(t)
    t.match(lines().at(-1), {
      level: 30,
      status: 400,
      problem: 'malformed_request',
      msg: 'connection refused',
    })

    const half = await begun(t, port, headers, framing)
    half.end()
    let answer = ''
    for await (const data of half) answer += data
    t.match(answer, /^HTTP\/1\.1 400 [\s\S]*"code":"malformed_request"/, 'who still listens is told')
    await allClosed(t)
    t.strictSame(await rowsOf(app, id), [])
    t.strictSame(await eventsOf(app, id), [])
    t.match(await statsOf(app, headers), { total: 0 })
    t.notOk(
      lines().some(({ level }) => level >= 50),
      'it is no failure of ours',
    )
  })
}

/** Several statements, of which the second holds an item of this title, while the file is still being read. */
const longFile = (title: string) =>
  ndjson(
    Array.from({ length: 3_500 }, (_, n) => ({
      title: n === 1_100 ? title : 'x',
      description: 'x'.repeat(200),
    })),
  )

/** Has the database do something when an item of this title comes. */
const onItem = (title: string, action: string) => `
  create or replace function on_item() returns trigger language plpgsql as $$ begin ${action}; return new; end $$;
  drop trigger if exists on_item on items;
  create trigger on_item before insert on items for each row when (new.title = '${title}') execute function on_item()`

async function nothingHappened(t: Test, app: App, { id, headers }: { id: string; headers: Headers }) {
  t.strictSame(await rowsOf(app, id), [])
  t.strictSame(await eventsOf(app, id), [])
  t.match(await statsOf(app, headers), { total: 0 })
  t.equal(openUploads(), 0)
}

async function does(app: App, text: string) {
  for (const statement of text.split(/;\n/)) await app.database.db.execute(sql.raw(statement))
}

test('a database whose disk is full in the middle is 503, and nothing is imported', async t => {
  const { logger } = recordingLogger()
  const app = await build(t, { logger })
  await does(app, onItem('full', `raise exception 'full' using errcode = '53100'`))
  const user = await aUser(app)
  for (const key of [{}, { 'idempotency-key': 'k' }]) {
    const answer = await importFile(app, { ...user.headers, ...key }, 'ndjson', longFile('full'))
    t.match(answer.json(), { status: 503, code: 'unavailable' })
    t.ok(Number(answer.headers['retry-after']) > 0)
    await nothingHappened(t, app, user)
  }
  await does(app, 'drop trigger on_item on items')
  const keyed = { ...user.headers, 'idempotency-key': 'k' }
  t.strictSame(await resultOf(app, keyed, 'ndjson', longFile('full')), all(3_500), 'the key was not used up')
})

test('an import that the database ends for the sake of another one begins anew, from the first line', async t => {
  const app = await build(t)
  await does(app, 'create sequence attempts')
  const deadlock = `if nextval('attempts') % 2 = 1 then raise exception 'deadlock' using errcode = '40P01'; end if`
  await does(app, onItem('again', deadlock))
  for (const format of FORMATS) {
    const { id, headers } = await aUser(app)
    const file = format === 'csv' ? `title\n${'x\n'.repeat(2_000)}again\n` : longFile('again')
    const count = format === 'csv' ? 2_001 : 3_500
    const keyed = { ...headers, ...(format === 'csv' && { 'idempotency-key': 'k' }) }
    t.strictSame(await resultOf(app, keyed, format, file), all(count))
    t.equal((await rowsOf(app, id)).length, count)
    t.equal((await eventsOf(app, id)).length, 1)
  }
  await does(app, 'drop trigger on_item on items;\ndrop sequence attempts')
})

/** Holds up an import in its middle, and tells which connection of the database waits. */
async function heldUp(t: Test, url: string) {
  const client = postgres(url, { max: 2, onnotice: () => {} })
  t.teardown(() => client.end())
  await client.unsafe(onItem('wait', 'perform pg_advisory_xact_lock(42)'))
  const holder = await client.reserve()
  await holder`select pg_advisory_lock(42)`
  return {
    client,
    async waiting(): Promise<number> {
      for (;;) {
        const [row] = await client<{ pid: number }[]>`
          select pid from pg_locks where locktype = 'advisory' and objid = 42 and not granted
            and database = (select oid from pg_database where datname = current_database())`
        if (row) return row.pid
      }
    },
    async release() {
      await holder`select pg_advisory_unlock(42)`
      holder.release()
    },
  }
}

test('a header is told what is wrong with it, however long it is', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const file = `${','.repeat(120_000)}${'id,'.repeat(40_000)}\n1\n`
  const answer = await importFile(app, headers, 'csv', file)
  t.match(answer.json(), { status: 400, errors: [{ code: 'unknown_column' }] })
  t.strictSame(
    answer.json().errors.map(({ code }: { code: string }) => code),
    ['unknown_column', 'repeated_column', 'missing_column'],
  )
})

if (serverUrl !== undefined) {
  test('lines that are not valid may take longer than a transaction may pause', async t => {
    const url = await createServerDatabase(t)
    const config = testConfig({ DATABASE_IDLE_TRANSACTION_TIMEOUT_MS: '100' })
    const database = connectPostgres(url, config)
    t.teardown(() => database.close())
    const app = await build(t, { database })
    const { headers } = await aUser(app)
    const file = `{"title":"first"}\n${'{}\n'.repeat(400_000)}{"title":"last"}\n`
    const answer = await importFile(app, headers, 'ndjson', file)
    t.match(answer.json(), { imported: 2, failed: 400_000 })
  })

  test('while an import takes its time, its owner can go on', async t => {
    const app = await build(t)
    const { headers, id: user_id } = await aUser(app)
    const { db } = app.database
    await inTransaction(db, async tx => {
      await importItems(
        tx,
        { actor: systemActor(), user_id, dry_run: false, check: { isValid: () => true, faultsIn: () => [] } },
        async function* () {
          yield [{ line: 1, fields: { title: 'long' } }]
        },
      )
      // So many that each connection has had a turn.
      const made = await Promise.all(
        Array.from({ length: 20 }, () => send(app, 'POST', '', headers, { title: 'short' })),
      )
      t.ok(made.every(({ statusCode }) => statusCode === 201))
    })
    t.match(await statsOf(app, headers), { total: 21 })
  })

  test('a connection to the database that is cut in the middle is 503, and nothing is imported', async t => {
    const app = await build(t)
    const user = await aUser(app)
    const [{ name } = { name: '' }] = (await app.database.db.execute(
      sql`select current_database() as name`,
    )) as unknown as { name: string }[]
    const url = new URL(serverUrl ?? '')
    url.pathname = `/${name}`
    const { client, waiting, release } = await heldUp(t, url.href)
    for (const key of [{}, { 'idempotency-key': 'k' }]) {
      const answer = importFile(app, { ...user.headers, ...key }, 'ndjson', longFile('wait'))
      await client`select pg_terminate_backend(${await waiting()})`
      t.match((await answer).json(), { status: 503, code: 'unavailable' })
      await nothingHappened(t, app, user)
    }
    await release()
    await client`drop trigger on_item on items`
    const keyed = { ...user.headers, 'idempotency-key': 'k' }
    t.strictSame(await resultOf(app, keyed, 'ndjson', longFile('wait')), all(3_500))
  })

  test('a service that is killed in the middle leaves nothing', async t => {
    const variables = { ...CHEAP, WORKER: 'false', ...(await databaseVariables(t)) } as Record<string, string>
    const { client, waiting, release } = await heldUp(t, variables.DATABASE_URL ?? '')
    const doomed = await startServer(t, variables)
    const registered = await fetch(`${doomed.url}/api/v1/auth/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(newcomer()),
    })
    const { access_token } = (await registered.json()) as { access_token: string }
    const answer = fetch(`${doomed.url}${path}/import`, {
      method: 'POST',
      headers: { 'content-type': NDJSON, authorization: `Bearer ${access_token}` },
      body: longFile('wait'),
    })
    const cut = t.rejects(answer)
    await waiting()
    const exit = once(doomed.child, 'close')
    doomed.child.kill('SIGKILL')
    await exit
    await cut
    await release()
    const others = () => client<{ pid: number }[]>`
      select pid from pg_stat_activity
      where datname = current_database() and backend_type = 'client backend'
        and state <> 'idle' and pid <> pg_backend_pid()`
    while ((await others()).length > 0) await sleep(10)
    const [left] = await client`
      select (select count(*) from items)::int as items, (select count(*) from item_counts)::int as counts,
        (select count(*) from events where type = 'item.imported')::int as events`
    t.strictSame({ ...left }, { items: 0, counts: 0, events: 0 })
  })
}

test('what was exported is imported, with an id of its own', async t => {
  const app = await build(t)
  const [owner, heir] = [await aUser(app), await aUser(app)]
  await resultOf(app, owner.headers, 'ndjson', ndjson(lines.map(([line]) => line)))
  const file = (await exportFile(app, owner.headers)).body
  t.strictSame(await resultOf(app, heir.headers, 'ndjson', file), all(lines.length))
  const [before, after] = [itemsIn(file), await rowsOf(app, heir.id)]
  t.strictSame(after.map(givenOf), before.map(givenOf))
  const known = new Set(before.map(({ id }) => id))
  t.ok(after.every(({ id, user_id }) => !known.has(id) && user_id === heir.id))
  const strange = [1, null, {}, '\u{1f600}', ['x']].map(id => ({
    id,
    user_id: owner.id,
    version: -1,
    title: 'a',
  }))
  t.strictSame(await resultOf(app, heir.headers, 'ndjson', ndjson(strange)), all(5), 'nobody looks at them')
  t.equal((await rowsOf(app, owner.id)).length, lines.length)
})
