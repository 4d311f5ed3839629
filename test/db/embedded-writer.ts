import { sql } from 'drizzle-orm'
import { openEmbedded } from '../../src/db/embedded.ts'
import { firstRow } from '../../src/db/rows.ts'

// Run by embedded.test.ts as a process to be killed: writes rows one by one and tells of each when it is committed.
const { db } = await openEmbedded(process.env.DATA_DIR ?? '')
await db.execute(sql`create table if not exists written (id serial primary key, word text)`)
for (let count = 1; ; count++) {
  const row = await firstRow<{ id: number }>(db, sql`insert into written (word) values ('x') returning id`)
  process.stdout.write(`${JSON.stringify({ id: row?.id, msg: `acknowledged ${count}` })}\n`)
}
