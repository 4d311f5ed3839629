import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type SQL, sql } from 'drizzle-orm'
import { parseConfig } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import { firstRow } from '../src/db/rows.ts'
import type { Db } from '../src/db/types.ts'
import { selectEvents, typesMatching } from '../src/domains/audit/queries.ts'
import type { EventFilter } from '../src/domains/audit/schemas.ts'
import { compareSeals, sealNextEvents } from '../src/domains/audit/seals.ts'
import { verifyAudit } from '../src/domains/audit/verify.ts'
import { BEGINNING, type Position, readEvents } from '../src/events/read.ts'
import { prepareDatabase } from '../src/prepare.ts'
import { withDatabase } from './lib/database.ts'
import { blocks, explainQuery, explainSql, type Query, removedRows, shorten, sqlOf } from './lib/explain.ts'
import { fillEvents, ownerId, RARE, subjectId } from './lib/fill-events.ts'
import { endAfter, expect } from './lib/limits.ts'
import { median } from './lib/stats.ts'

const RUNS = 20
const PAGE = 21
const BATCH = 1000
const PLANS = fileURLToPath(new URL('plans/events.md', import.meta.url))

const { values } = parseArgs({ options: { events: { type: 'string', default: '1000000' } } })
const count = Number(values.events)
endAfter(900)

await withDatabase(async url => {
  // Filling takes longer than any statement of the service may.
  const filling = await connect(parseConfig({ DATABASE_URL: url, DATABASE_STATEMENT_TIMEOUT_MS: '3600000' }))
  await prepareDatabase(filling)
  await timed(`${count} events are filled in`, () => fillEvents(filling.db, count))
  await filling.close()

  const database = await connect(parseConfig({ DATABASE_URL: url }))
  await showQueries(database.db)
  await sealAndVerify(database.db)
  await database.close()
})

async function showQueries(db: Db) {
  const queries = await queriesOf(db)
  const lines: string[] = []
  console.log(
    `\n${'query'.padEnd(44)} ${'median ms'.padStart(9)} ${'rows'.padStart(5)} ${'blocks'.padStart(7)} removed`,
  )
  for (const [title, query] of Object.entries(queries)) {
    const times: number[] = []
    let rows = 0
    for (let run = 0; run < RUNS; run++) {
      const begun = performance.now()
      rows = (await query()).length
      times.push(performance.now() - begun)
    }
    const plan = await explainQuery(db, query())
    const summary = `${median(times).toFixed(2)} ms, ${rows} rows, ${blocks(plan)} blocks, ${removedRows(plan)} rows removed by filters`
    console.log(
      `${title.padEnd(44)} ${median(times).toFixed(2).padStart(9)} ${String(rows).padStart(5)} ${String(blocks(plan)).padStart(7)} ${removedRows(plan)}`,
    )
    lines.push(`## ${title}`, '', summary, '', '```', ...shorten(plan), '```', '')
  }
  writePlans(lines)
}

async function queriesOf(db: Db): Promise<Record<string, () => Query>> {
  const middle = await positionAt(db, count / 2)
  const end = await positionAt(db, count - 101)
  const owner = (number: number) => uuid(db, ownerId(String(number)))
  const [big, small, staff] = [await owner(0), await owner(4711), await owner(7)]
  const subject_id = await uuid(db, subjectId('123'))
  const nobody = '00000000-0000-7000-8000-000000000000'
  const day = new Date(Date.now() - 40 * 86_400_000).toISOString().slice(0, 10)
  const span = { from: `${day}T00:00:00.000Z`, to: `${day}T12:00:00.000Z` }
  const types = new Map<string, string[]>()
  for (const type of ['bench_item.*', 'bench_alarm.*']) types.set(type, await typesMatching(db, type))
  const list =
    ({ type, ...filter }: EventFilter, page: { before?: string; limit?: number } = {}) =>
    () =>
      selectEvents(db, filter, type === undefined ? undefined : (types.get(type) ?? [type]), {
        limit: PAGE,
        ...page,
      })

  return {
    'read 1 000 from the beginning': () => readEvents(db, BEGINNING, BATCH),
    'read 1 000 from the middle': () => readEvents(db, middle, BATCH),
    'read the last 100': () => readEvents(db, end, BATCH),
    'list, no filter': list({}),
    'list from the middle by cursor': list({}, { before: middle.id }),
    'export, a batch of 1 000 from the middle': list({}, { before: middle.id, limit: BATCH }),
    'list by a common type': list({ type: 'bench_item.created' }),
    'list by the rare type': list({ type: RARE }),
    'list by bench_item.*': list({ type: 'bench_item.*' }),
    'list by bench_alarm.*': list({ type: 'bench_alarm.*' }),
    'list by the big owner': list({ owner_id: big }),
    'list by the big owner, from the middle': list({ owner_id: big }, { before: middle.id }),
    'list by a small owner': list({ owner_id: small }),
    'list by the big owner and the rare type': list({ owner_id: big, type: RARE }),
    'list by the big owner and bench_item.*': list({ owner_id: big, type: 'bench_item.*' }),
    'list by a small owner and bench_item.*': list({ owner_id: small, type: 'bench_item.*' }),
    'list by a subject': list({ subject_id }),
    'list by an actor who is the big owner': list({ actor_id: big }),
    'list by an actor who is a small owner': list({ actor_id: small }),
    "list by an actor on others' data": list({ actor_id: staff }),
    'list by that actor and bench_item.*': list({ actor_id: staff, type: 'bench_item.*' }),
    'list by an unknown actor': list({ actor_id: nobody }),
    'list by an unknown owner': list({ owner_id: nobody }),
    'list by a request': list({ request_id: `request-${Math.floor(count / 4)}` }),
    'list by an unknown request': list({ request_id: 'request-x' }),
    'list by half a day': list(span),
    'list by half a day and the rare type': list({ ...span, type: RARE }),
    'list by half a day and the big owner': list({ ...span, owner_id: big }),
  }
}

async function sealAndVerify(db: Db) {
  const preview = await explainSealing(db)
  let seals = 0
  await timed(`\n${count} events are sealed`, async () => {
    while ((await sealNextEvents(db)) !== undefined) seals++
  })
  const comparing = await explainSql(db, await sqlOf(asked => compareSeals(asked, seals / 2, 20)))
  appendPlans('seal the next 1 000', preview)
  appendPlans('compare 20 seals with their events', comparing)

  await expectVerification(db, 'nothing was touched')
  const bypass = sql`set local session_replication_role = replica`
  const altered = await positionAt(db, count / 4)
  const removed = await positionAt(db, count / 2)
  const inserted = { transaction_id: removed.transaction_id, id: removed.id.replace(/.{4}$/, 'beef') }

  const at = ({ id }: Position) => sql`id = ${id}::uuid`
  const change = (statement: SQL) =>
    db.transaction(async tx => {
      await tx.execute(bypass)
      await tx.execute(statement)
    })
  await change(sql`update events set ip = '198.51.100.1' || ip where ${at(altered)}`)
  await expectVerification(db, 'an event was altered', { fault: 'altered', event_id: altered.id })
  await change(sql`update events set ip = substr(ip, 13) where ${at(altered)}`)

  await db.execute(sql`create table kept as select * from events where ${at(removed)}`)
  await change(sql`delete from events where ${at(removed)}`)
  await expectVerification(db, 'an event was deleted', { fault: 'removed', event_id: removed.id })
  await change(sql`insert into events select * from kept`)

  await db.execute(sql`update kept set id = ${inserted.id}`)
  await change(sql`insert into events select * from kept`)
  await expectVerification(db, 'an event was inserted', { fault: 'inserted', event_id: inserted.id })
  await change(sql`delete from events where ${at(inserted)}`)
  await expectVerification(db, 'all was put right again')
}

async function expectVerification(db: Db, what: string, breach?: { fault: string; event_id: string }) {
  const begun = performance.now()
  const found = await verifyAudit(db, { after_seal: 0, time_ms: Number.POSITIVE_INFINITY })
  const seconds = (performance.now() - begun) / 1000
  const named = found.breach === null ? 'valid' : `${found.breach.fault} ${found.breach.event_id}`
  const rate = Math.round(found.events / seconds)
  console.log(`\n${what}: ${named}; ${found.events} events in ${seconds.toFixed(1)} s, ${rate}/s`)
  const holds =
    breach === undefined
      ? found.valid && found.events === count && found.unsealed_events === 0
      : found.breach?.fault === breach.fault && found.breach.event_id === breach.event_id
  expect(
    holds,
    breach === undefined ? 'the audit is valid' : `the audit names ${breach.fault} ${breach.event_id}`,
  )
}

/** Undone, because to explain with figures is to do it. */
async function explainSealing(db: Db): Promise<string[]> {
  let plan: string[] = []
  const sealing = await sqlOf(sealNextEvents)
  const undone = new Error('Undone')
  await db
    .transaction(async tx => {
      plan = await explainSql(tx, sealing)
      throw undone
    })
    .catch(error => {
      if (error !== undone) throw error
    })
  return plan
}

async function positionAt(db: Db, number: number): Promise<Position> {
  const offset = Math.floor(number)
  const row = await firstRow<{ transaction_id: string; id: string }>(
    db,
    sql`select transaction_id, id from events order by transaction_id, id offset ${offset} limit 1`,
  )
  return { transaction_id: BigInt(row?.transaction_id ?? 0), id: row?.id ?? BEGINNING.id }
}

async function uuid(db: Db, expression: string): Promise<string> {
  const row = await firstRow<{ id: string }>(db, sql`select ${sql.raw(expression)} as id`)
  return row?.id ?? ''
}

async function timed(what: string, work: () => Promise<unknown>) {
  const begun = performance.now()
  await work()
  const seconds = (performance.now() - begun) / 1000
  console.log(`${what} in ${seconds.toFixed(1)} s, ${Math.round(count / seconds)}/s`)
}

function writePlans(lines: string[]) {
  mkdirSync(dirname(PLANS), { recursive: true })
  const heading = [
    '# Plans of the queries on events',
    '',
    `Written by \`npx tsx bench/million-events.ts\`: ${count} events in three months, ${RUNS} runs each. Only nodes and what they did; \`removed\` rows were read in vain. What the execution takes beyond its nodes is the compilation (JIT).`,
    '',
  ]
  writeFileSync(PLANS, [...heading, ...lines.slice(0, -1), ''].join('\n'))
}

function appendPlans(title: string, plan: string[]) {
  writeFileSync(PLANS, ['', `## ${title}`, '', '```', ...shorten(plan), '```', ''].join('\n'), { flag: 'a' })
}
