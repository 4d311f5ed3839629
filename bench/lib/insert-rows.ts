import { sql } from 'drizzle-orm'
import { parseConfig } from '../../src/config.ts'
import { connect } from '../../src/db/connect.ts'
import { allRows } from '../../src/db/rows.ts'
import { prepareDatabase } from '../../src/prepare.ts'

// A child of kill-nine.ts. It tells its parent, over IPC, what it has reached and which ids it has found or inserted.
// With an argument `insert` it then inserts rows for ever, one transaction each.

export type Report =
  | { kind: 'opening' }
  | { kind: 'found'; ids: number[] }
  | { kind: 'acknowledged'; id: number }

const database = await openDatabase()
const found = await allRows<{ id: number }>(database.db, sql`select id from bench_row order by id`)
tell({ kind: 'found', ids: found.map(({ id }) => id) })

if (process.argv[2] === 'insert') {
  for (;;) {
    const [row] = await allRows<{ id: number }>(
      database.db,
      sql`insert into bench_row (filler) values (${'x'.repeat(500)}) returning id`,
    )
    if (row !== undefined) tell({ kind: 'acknowledged', id: row.id })
    // PGlite answers within one turn of the event loop; without a pause nothing would leave this process.
    await new Promise(setImmediate)
  }
}
await database.close()
process.disconnect()

async function openDatabase() {
  tell({ kind: 'opening' })
  const opened = await connect(parseConfig(process.env))
  await prepareDatabase(opened)
  await opened.db.execute(
    sql`create table if not exists bench_row (id integer generated always as identity primary key, filler text not null)`,
  )
  return opened
}

function tell(report: Report) {
  process.send?.(report)
}
