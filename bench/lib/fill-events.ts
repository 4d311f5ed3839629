import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import type { Db } from '../../src/db/types.ts'
import { setClockAfterRestore } from '../../src/events/clock.ts'
import { defineEvent } from '../../src/events/event-type.ts'
import { ensurePartitions } from '../../src/events/partitions.ts'

const MONTHS = 3
const CHUNK = 100_000

export const RARE = 'bench_alarm.raised'

/** Names of their own, so that no domain's are defined twice. */
const COMMON = [
  'bench_item.created',
  'bench_item.updated',
  'bench_item.published',
  'bench_item.archived',
  'bench_item.deleted',
  'bench_user.registered',
  'bench_user.signed_in',
  'bench_user.changed',
  'bench_key.made',
] as const

for (const name of [...COMMON, RARE] as const) defineEvent(name, Type.Object({}))

/** As SQL, so that the same can be asked for by number. */
export const ownerId = (number: string) => `md5('owner ' || ${number})::uuid`
export const subjectId = (number: string) => `md5('subject ' || ${number})::uuid`

/**
 * Events evenly over this month and the two before, in order: every tenth of one big owner, the others spread over
 * 19 999; each hundredth by one of 50 others than the owner; two to a transaction and to a request.
 * The ids are UUIDv7. The clock is then set past their transactions, as after a restore.
 */
export async function fillEvents(db: Db, count: number): Promise<void> {
  const now = new Date()
  const start = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - MONTHS + 1))
  await ensurePartitions(db, start)
  const step = (now.getTime() - start.getTime()) / count
  for (let from = 1; from <= count; from += CHUNK) {
    const to = Math.min(from + CHUNK - 1, count)
    await db.execute(sql.raw(insert(from, to, start.getTime(), step, count)))
  }
  await db.execute(sql`vacuum (analyze) events`)
  await setClockAfterRestore(db)
}

function insert(from: number, to: number, startMs: number, stepMs: number, count: number): string {
  const common = `(array['${COMMON.join("','")}'])[1 + i % ${COMMON.length}]`
  const rareEvery = Math.ceil(count / 20)
  return `
    insert into events (
      id, transaction_id, type, actor_type, actor_id, owner_id, subject_type, subject_id,
      request_id, ip, user_agent, changes, created_at
    )
    select
      (lpad(to_hex(at_ms), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid,
      i / 2 + 1, type, 'user',
      case when i % 100 = 7 then ${ownerId(`(1 + i / 100 % 50)`)} else owner_id end,
      owner_id, split_part(type, '.', 1), ${subjectId(`(i * 31 % (${count} / 10))`)},
      'request-' || i / 2, '192.0.2.' || i % 250, 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
      jsonb_build_object('name', jsonb_build_array('name ' || i, 'name ' || i + 1)),
      to_timestamp(at_ms / 1000.0)
    from (
      select i, (${startMs} + i * ${stepMs}::float8)::bigint - 1000 as at_ms,
        ${ownerId(`(case when i % 10 = 0 then 0 else 1 + i * 7919 % 19999 end)`)} as owner_id,
        case when i % ${rareEvery} = 11 then '${RARE}' else ${common} end as type
      from generate_series(${from}::bigint, ${to}) i
    ) numbered`
}
