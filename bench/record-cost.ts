import { parseArgs } from 'node:util'
import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { parseConfig } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import { inTransaction } from '../src/db/transaction.ts'
import type { Db, Tx } from '../src/db/types.ts'
import { defineEvent } from '../src/events/event-type.ts'
import { record } from '../src/events/record.ts'
import { enqueue } from '../src/jobs/enqueue.ts'
import { installJobs } from '../src/jobs/install.ts'
import { defineJob } from '../src/jobs/job.ts'
import type { Actor } from '../src/lib/actor.ts'
import { newId } from '../src/lib/id.ts'
import { prepareDatabase } from '../src/prepare.ts'
import { withDatabase } from './lib/database.ts'
import { endAfter } from './lib/limits.ts'
import { temporaryDirectory } from './lib/service.ts'
import { median } from './lib/stats.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '7' }, transactions: { type: 'string', default: '400' } },
})
const rounds = Number(values.rounds)
const transactions = Number(values.transactions)
endAfter(300)

const fields = Type.Object({ name: Type.String(), state: Type.String() })
const created = defineEvent('bench.created', fields)
const payload = Type.Object({ id: Type.String() })
const job = defineJob({ name: 'bench.noop', summary: 'Never run', payload, run: async () => {} })
const origin = { request_id: 'bench-request', ip: '127.0.0.1', user_agent: 'bench/1.0' }
const actor: Actor = { type: 'user', id: newId(), origin }

/** What a transaction does, besides its own insert. */
const kinds: Record<string, (tx: Tx, id: string) => Promise<unknown>> = {
  bare: async () => {},
  record: recordOne,
  enqueue: enqueueOne,
  both: async (tx, id) => {
    await recordOne(tx, id)
    await enqueueOne(tx, id)
  },
}

for (const size of [1, 10]) {
  await withDatabase(url =>
    compare(`Postgres, ${size} at once`, size, { DATABASE_URL: url, DATABASE_POOL_SIZE: String(size) }),
  )
}
for (const size of [1, 10])
  await compare(`embedded, ${size} at once`, size, { DATA_DIR: temporaryDirectory() })

async function compare(title: string, parallel: number, environment: Record<string, string>) {
  const database = await connect(parseConfig(environment))
  await prepareDatabase(database)
  await installJobs(database.db, [job])
  await database.db.execute(
    sql`create table bench_row (id uuid primary key, name text not null, state text not null)`,
  )

  const times: Record<string, number[]> = {}
  // The first round warms up and is not counted.
  for (let round = 0; round <= rounds; round++) {
    for (const [kind, extra] of Object.entries(kinds)) {
      const cost = await microseconds(database.db, parallel, extra)
      if (round > 0) times[kind] = [...(times[kind] ?? []), cost]
    }
  }
  await database.close()

  console.log(`\n${title}: median of ${rounds} rounds of ${transactions} transactions, least to most`)
  const bare = median(times.bare ?? [])
  for (const [kind, list] of Object.entries(times)) {
    const middle = median(list)
    const range = `${Math.min(...list).toFixed(0)} to ${Math.max(...list).toFixed(0)}`
    console.log(
      `${kind.padEnd(8)} ${middle.toFixed(0).padStart(6)} µs a transaction (${range})  ${(middle / bare).toFixed(2)}`,
    )
  }
}

/** Of wall-clock time per transaction. */
async function microseconds(db: Db, parallel: number, extra: (tx: Tx, id: string) => Promise<unknown>) {
  let left = transactions
  const begun = performance.now()
  const loops = Array.from({ length: parallel }, async () => {
    while (left-- > 0) {
      await inTransaction(db, async tx => {
        const id = newId()
        await tx.execute(sql`insert into bench_row values (${id}, 'a name', 'draft')`)
        await extra(tx, id)
      })
    }
  })
  await Promise.all(loops)
  return ((performance.now() - begun) * 1000) / transactions
}

function recordOne(tx: Tx, id: string) {
  return record(tx, actor, created, {
    subject_id: id,
    owner_id: actor.id,
    after: { name: 'a name', state: 'draft' },
  })
}

function enqueueOne(tx: Tx, id: string) {
  return enqueue(tx, actor, job, { id })
}
