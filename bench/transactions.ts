import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { parseConfig } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import { allRows } from '../src/db/rows.ts'
import { inTransaction } from '../src/db/transaction.ts'
import type { Db } from '../src/db/types.ts'
import { defineEvent } from '../src/events/event-type.ts'
import { BEGINNING, readEvents } from '../src/events/read.ts'
import { record } from '../src/events/record.ts'
import { enqueue } from '../src/jobs/enqueue.ts'
import { installJobs } from '../src/jobs/install.ts'
import { defineJob } from '../src/jobs/job.ts'
import { systemActor } from '../src/lib/actor.ts'
import { newId } from '../src/lib/id.ts'
import { prepareDatabase } from '../src/prepare.ts'
import { withDatabase } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'
import { temporaryDirectory } from './lib/service.ts'

const LONGEST_PAUSE_MS = 5
const BATCH = 50

/** How long the reader is waited for when all is written: others' transactions on the same server hold it up. */
const READ_LIMIT_MS = 30_000

class Rollback extends Error {}

type Seen = Awaited<ReturnType<typeof readEvents>>[number]

const { values } = parseArgs({ options: { transactions: { type: 'string', default: '1000' } } })
const transactions = Number(values.transactions)
endAfter(180)

const payload = Type.Object({ number: Type.Integer() })
const numbered = defineEvent('bench.numbered', payload)
const job = defineJob({ name: 'bench.number', summary: 'Never run', payload, run: async () => {} })

const pause = () => sleep(Math.random() * LONGEST_PAUSE_MS)
const numberOf = ({ changes }: Seen): number => Number(changes.number?.[1])
const byValue = (a: number, b: number) => a - b
const same = (a: number[], b: number[]) =>
  a.length === b.length && a.every((value, index) => value === b[index])

await withDatabase(url => writeAndFollow('Postgres, pool of 10', { DATABASE_URL: url }))
await writeAndFollow('embedded', { DATA_DIR: temporaryDirectory() })

async function writeAndFollow(title: string, environment: Record<string, string>) {
  const config = parseConfig(environment)
  const database = await connect(config)
  await prepareDatabase(database)
  await installJobs(database.db, [job])
  // The pool has a queue; on a connection of its own the reader is always in between.
  const readers = database.kind === 'postgres' ? await connect(config) : database

  const begun = performance.now()
  const progress: { expected?: number } = {}
  const following = follow(readers.db, progress)
  // PGlite runs one after the other, in the order asked: all at once, they would keep the reader waiting to the end.
  const atOnce = database.kind === 'postgres' ? transactions : config.DATABASE_POOL_SIZE
  const outcomes = await writeAll(database.db, atOnce)
  const committed = outcomes.flatMap((commits, number) => (commits ? [number] : []))
  const written = performance.now()
  progress.expected = committed.length
  const { seen, reads, early } = await following
  const caughtUp = performance.now() - written

  const eventNumbers = await numbersOf(
    database.db,
    sql`select (changes->'number'->>1)::int as number from events`,
  )
  const jobNumbers = await numbersOf(
    database.db,
    sql`select (data->'payload'->>'number')::int as number from pgboss.job where name = ${job.name}`,
  )
  if (readers !== database) await readers.close()
  await database.close()

  console.log(
    `\n${title}: ${transactions} transactions in ${Math.round(written - begun)} ms, ${committed.length} committed`,
  )
  console.log(
    `the reader asked ${reads} times, had ${early} events before the last commit, and all of them ${Math.round(caughtUp)} ms after it`,
  )
  expect(same(eventNumbers, committed), 'the events are those of the committed transactions')
  expect(same(jobNumbers, committed), 'the jobs are those of the committed transactions')
  expect(same(seen.map(numberOf).sort(byValue), committed), 'the reader saw each committed event once')
  expect(isRising(seen), 'in strictly rising order')
}

/** Whether each was committed. */
async function writeAll(db: Db, atOnce: number): Promise<boolean[]> {
  const outcomes: boolean[] = []
  let next = 0
  const loops = Array.from({ length: atOnce }, async () => {
    while (next < transactions) {
      const number = next++
      outcomes[number] = await write(db, number)
    }
  })
  await Promise.all(loops)
  return outcomes
}

/** Whether it was committed. */
async function write(db: Db, number: number): Promise<boolean> {
  try {
    await inTransaction(db, async tx => {
      await pause()
      await record(tx, systemActor(), numbered, { subject_id: newId(), owner_id: null, after: { number } })
      await pause()
      await enqueue(tx, systemActor(), job, { number })
      await pause()
      if (Math.random() < 0.5) throw new Rollback()
    })
    return true
  } catch (error) {
    if (error instanceof Rollback) return false
    throw error
  }
}

/** Reads on from the last event that it saw, until it has seen as many as are expected. */
async function follow(db: Db, progress: { expected?: number }) {
  const seen: Seen[] = []
  let reads = 0
  let early = 0
  let deadline = Number.POSITIVE_INFINITY
  for (;;) {
    const complete = progress.expected !== undefined
    const batch = await readEvents(db, seen.at(-1) ?? BEGINNING, BATCH)
    seen.push(...batch)
    reads++
    if (!complete) early = seen.length
    else if (deadline === Number.POSITIVE_INFINITY) deadline = performance.now() + READ_LIMIT_MS
    // One read more than needed, which would show an event too many.
    const all = batch.length === 0 && seen.length >= (progress.expected ?? Number.POSITIVE_INFINITY)
    if (all || performance.now() > deadline) return { seen, reads, early }
    if (batch.length === 0) await sleep(1)
  }
}

async function numbersOf(db: Db, query: ReturnType<typeof sql>): Promise<number[]> {
  const rows = await allRows<{ number: number }>(db, query)
  return rows.map(({ number }) => number).sort(byValue)
}

function isRising(seen: Seen[]): boolean {
  return seen.every((event, index) => {
    const previous = seen[index - 1]
    if (previous === undefined || event.transaction_id > previous.transaction_id) return true
    return event.transaction_id === previous.transaction_id && event.id > previous.id
  })
}
