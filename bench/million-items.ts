import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { eq } from 'drizzle-orm'
import { parseConfig } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import type { Db } from '../src/db/types.ts'
import { columnsOf, type OwnItemFilter, selectListed } from '../src/domains/items/queries.ts'
import { sortedItems } from '../src/domains/items/schemas.ts'
import { items } from '../src/domains/items/tables.ts'
import { prepareDatabase } from '../src/prepare.ts'
import { emailOf, fillAccounts, signIn, startWebProcess } from './lib/accounts.ts'
import { type Connection, openConnection, requestText } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { blocks, explainQuery, removedRows } from './lib/explain.ts'
import { BIG, fillItems, RARE_ROWS, RARE_WORD } from './lib/fill-items.ts'
import { endAfter, expect } from './lib/limits.ts'
import { quantile } from './lib/stats.ts'

// Is a list as fast for the owner of a million items as for one of a hundred? Both are asked in turn, over the same
// connection, so that whatever else the machine does befalls both.

const PLANS = fileURLToPath(new URL('plans/items.md', import.meta.url))
const MOST_TIMES = 2

const { values } = parseArgs({
  options: {
    items: { type: 'string', default: '5000000' },
    requests: { type: 'string', default: '1000' },
  },
})
const total = Number(values.items)
const requests = Number(values.requests)
endAfter(3600)

type Parameters = Record<string, string>
type Sort = 'created_at' | 'updated_at' | 'title' | 'price' | 'status'

interface Question {
  title: string
  path?: string
  query: Parameters
  /** Begins in the middle of what there is, by cursor. */
  fromMiddle?: true
  /** Whether the contract's promise is about it; the others are shown beside. */
  promised: boolean
}

const SORTS: Sort[] = ['created_at', 'updated_at', 'title', 'price', 'status']

const questions: Question[] = [
  { title: 'first page', query: {}, promised: true },
  ...SORTS.flatMap((sort_by): Question[] => [
    { title: `first page by ${sort_by}, upwards`, query: { sort_by, sort_dir: 'asc' }, promised: true },
    { title: `page by cursor, by ${sort_by}`, query: { sort_by }, fromMiddle: true, promised: true },
  ]),
  { title: `search, ${RARE_ROWS} hits`, query: { search: RARE_WORD.toUpperCase() }, promised: true },
  { title: 'price range of 0.1 %', query: { min_price: '10.00', max_price: '19.99' }, promised: true },
  { title: 'price range of 20 %', query: { min_price: '1000', max_price: '3000' }, promised: true },
  {
    title: 'price range, by price',
    query: { min_price: '1000', max_price: '3000', sort_by: 'price' },
    promised: true,
  },
  { title: 'stats', path: '/api/v1/items/stats', query: {}, promised: true },
  { title: 'by status', query: { status: 'archived' }, promised: false },
  { title: 'by metadata, a quarter', query: { 'metadata.color': 'red' }, promised: false },
  { title: 'by metadata, one', query: { 'metadata.serial': 'S5' }, promised: false },
  {
    title: 'by month',
    query: { created_from: '2026-03-01T00:00:00Z', created_to: '2026-04-01T00:00:00Z' },
    promised: false,
  },
  {
    title: 'status and price',
    query: { status: 'published', min_price: '50', max_price: '60' },
    promised: false,
  },
  { title: 'search, a frequent word', query: { search: 'item' }, promised: false },
  { title: 'search, two characters', query: { search: 'ba' }, promised: false },
  { title: 'search, no hit', query: { search: 'qqqqqqqq' }, promised: false },
  { title: 'page 100 by number', query: { page: '100' }, promised: false },
  { title: 'page 5 000 by number', query: { page: '5000' }, promised: false },
]

await withDatabase(async url => {
  const filling = await connect(parseConfig({ DATABASE_URL: url, DATABASE_STATEMENT_TIMEOUT_MS: '3600000' }))
  await prepareDatabase(filling)
  await filling.close()
  await fillAccounts(url, [{ kind: 'owner', count: 2 }])
  const { service, port } = await startWebProcess(url)
  const connection = openConnection(port)
  const big = await signIn(connection, emailOf('owner', 0))
  const small = await signIn(connection, emailOf('owner', 1))
  const begun = performance.now()
  await fillItems(url, big.user_id, small.user_id, total)
  console.log(`${total} items are filled in: ${((performance.now() - begun) / 1000).toFixed(0)} s`)

  const database = await connect(parseConfig({ DATABASE_URL: url }))
  const plans: string[] = []
  console.log(
    `\n${'question'.padEnd(34)} ${'p50 big'.padStart(8)} ${'small'.padStart(8)} ${'p99 big'.padStart(8)} ${'small'.padStart(8)}  times  total`,
  )
  for (const question of questions) {
    const path = (user_id: string) => pathOf(database.db, question, user_id)
    const paths = { big: await path(big.user_id), small: await path(small.user_id) }
    const found = await ask(connection, { path: paths.big, token: big.token })
    const times = await askInTurn(connection, [
      requestText({ path: paths.big, token: big.token }),
      requestText({ path: paths.small, token: small.token }),
    ])
    tell(question, times as [number[], number[]], found)
    if (question.path === undefined) {
      for (const [name, { user_id }] of Object.entries({ big, small })) {
        const plan = await explainList(database.db, question, user_id)
        plans.push(
          `## ${question.title}, ${name} owner`,
          '',
          `${blocks(plan)} blocks, ${removedRows(plan)} rows read in vain`,
          '',
          '```',
          ...plan,
          '```',
          '',
        )
      }
    }
  }
  mkdirSync(dirname(PLANS), { recursive: true })
  writeFileSync(
    PLANS,
    [
      '# Plans of lists of items',
      '',
      `${total} items, ${BIG} of the big owner, 100 of the small one; Postgres. Made by \`npx tsx bench/million-items.ts\`.`,
      '',
      ...plans,
    ].join('\n'),
  )
  connection.close()
  await database.close()
  await service.stop()
})

async function askInTurn(connection: Connection, texts: string[]): Promise<number[][]> {
  const times = texts.map((): number[] => [])
  // The first tenth warms up caches and compilers.
  for (let round = -requests / 10; round < requests; round++) {
    for (const [index, text] of texts.entries()) {
      const { result, sentAt, endedAt } = await connection.send(text)
      if (result !== '200') throw new Error(`Answered with ${result}: ${text}`)
      if (round >= 0) times[index]?.push(endedAt - sentAt)
    }
  }
  return times
}

function tell({ title, promised }: Question, [big, small]: [number[], number[]], found: string) {
  const [slow, quick] = [quantile(big, 0.99), quantile(small, 0.99)]
  const figures = [quantile(big, 0.5), quantile(small, 0.5), slow, quick].map(ms => ms.toFixed(2).padStart(8))
  const ratio = slow / quick
  console.log(`${title.padEnd(34)} ${figures.join(' ')}  ${ratio.toFixed(2).padStart(5)}  ${found}`)
  if (promised && ratio > MOST_TIMES)
    expect(false, `${title}: at most ${MOST_TIMES} times as long for the big owner`)
}

async function ask(connection: Connection, asked: { path: string; token: string }): Promise<string> {
  const { body } = await connection.ask(asked)
  const { pagination, ...rest } = JSON.parse(body)
  if (pagination === undefined) return JSON.stringify(rest)
  if (pagination.total === undefined) return 'by cursor'
  return `${pagination.total}${pagination.total_is_minimum ? '+' : ''}`
}

async function pathOf(db: Db, { path = '/api/v1/items', query, fromMiddle }: Question, user_id: string) {
  const cursor = fromMiddle && { cursor: await middleOf(db, query, user_id) }
  const parameters = new URLSearchParams({ ...query, ...cursor })
  return parameters.size === 0 ? path : `${path}?${parameters}`
}

function askedFor(query: Parameters) {
  const { sort_by = 'created_at', sort_dir = 'desc', page } = query
  const asked = { sort_by: sort_by as Sort, sort_dir: sort_dir as 'asc' | 'desc', per_page: 20 }
  return page === undefined ? asked : { ...asked, page: Number(page) }
}

/** The cursor of the row in the middle, made as the service makes it. */
async function middleOf(db: Db, query: Parameters, user_id: string): Promise<string> {
  const asked = { ...askedFor(query), per_page: 1 }
  const count = await db.$count(items, eq(items.user_id, user_id))
  const slice = { ...sortedItems.slice(asked), offset: Math.floor(count / 2) }
  const rows = await selectListed(db, { user_id }, slice, columnsOf(undefined))
  const { next_cursor } = sortedItems.page(asked, { rows: rows as never[], total: null }).pagination
  return next_cursor ?? ''
}

async function explainList(db: Db, question: Question, user_id: string): Promise<string[]> {
  const { sort_by, sort_dir, page, ...filter } = question.query
  const asked = askedFor(question.query)
  const cursor = question.fromMiddle && { cursor: await middleOf(db, question.query, user_id) }
  const slice = sortedItems.slice({ ...asked, ...cursor })
  return explainQuery(
    db,
    selectListed(db, { user_id, ...filter } as OwnItemFilter, slice, columnsOf(undefined)),
  )
}
