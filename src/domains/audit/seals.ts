import { type SQL, sql } from 'drizzle-orm'
import { allRows, firstRow } from '../../db/rows.ts'
import type { Db, Tx } from '../../db/types.ts'
import { BEGINNING } from '../../events/read.ts'
import { firstIdAt } from '../../lib/id.ts'
import { auditExpired } from './events.ts'

// Seals are made and compared by Postgres: a statement reads a thousand events where they are, instead of here.

const EVENTS_PER_SEAL = 1000

/** Everything that an event says. What is added to the table later needs another digest for the seals from then on. */
const digest = sql.raw(`sha256(convert_to(jsonb_build_array(
  events.id, events.transaction_id, events.type, events.actor_type, events.actor_id, events.owner_id,
  events.subject_type, events.subject_id, events.request_id, events.ip, events.user_agent, events.changes,
  (extract(epoch from events.created_at) * 1000)::bigint
)::text, 'UTF8'))`)

/** The id and the digest of each event of a query, in order. */
const entriesOf = (rows: string) =>
  sql.raw(
    `string_agg(uuid_send(${rows}.id) || ${rows}.digest, ''::bytea order by transaction_id, ${rows}.id)`,
  )

const hashOf = (seal: string, previousHash: SQL, entriesHash: SQL) => sql`
  sha256(
    convert_to(${sql.raw(`concat_ws(' ', ${seal}.number, ${seal}.event_count, ${seal}.last_transaction_id, ${seal}.last_id,
      ${seal}.oldest_id, ${seal}.newest_id, (extract(epoch from ${seal}.created_at) * 1000)::bigint)`)}, 'UTF8')
    || ${previousHash} || ${entriesHash}
  )`

const NO_HASH = sql.raw(`decode(repeat('00', 32), 'hex')`)
const FIRST_TRANSACTION = sql.raw(`'${BEGINNING.transaction_id}'::bigint`)
const FIRST_ID = sql.raw(`'${BEGINNING.id}'::uuid`)

/** Events after the seal `previous`, which may be missing. */
const afterPrevious = sql`
  (events.transaction_id, events.id) >
  (coalesce(previous.last_transaction_id, ${FIRST_TRANSACTION}), coalesce(previous.last_id, ${FIRST_ID}))`

export interface Sealed {
  number: number
  event_count: number
  hash: string
}

/** Seals the next events, if there are any whose place in the order is final. Two at once would make the same number. */
export function sealNextEvents(db: Db): Promise<Sealed | undefined> {
  return firstRow<Sealed>(
    db,
    sql`
      with previous as materialized (
        select number, last_transaction_id, last_id, hash from audit_seals order by number desc limit 1
      ), batch as (
        select events.id, events.transaction_id, ${digest} as digest
        from events
        where (events.transaction_id, events.id) > (
            coalesce((select last_transaction_id from previous), ${FIRST_TRANSACTION}),
            coalesce((select last_id from previous), ${FIRST_ID})
          )
          and events.transaction_id < event_horizon()
        order by events.transaction_id, events.id
        limit ${EVENTS_PER_SEAL}
      ), content as (
        select coalesce((select number from previous), 0) + 1 as number, count(*)::int as event_count,
          (array_agg(transaction_id order by transaction_id desc))[1] as last_transaction_id,
          (array_agg(id order by transaction_id desc, id desc))[1] as last_id,
          (array_agg(id order by id))[1] as oldest_id,
          (array_agg(id order by id desc))[1] as newest_id,
          ${entriesOf('batch')} as entries,
          coalesce((select hash from previous), ${NO_HASH}) as previous_hash,
          date_trunc('milliseconds', clock_timestamp()) as created_at
        from batch
        having count(*) > 0
      )
      insert into audit_seals (
        number, event_count, last_transaction_id, last_id, oldest_id, newest_id,
        created_at, entries, entries_hash, previous_hash, hash
      )
      select number, event_count, last_transaction_id, last_id, oldest_id, newest_id,
        created_at, entries, sha256(entries), previous_hash, ${hashOf('content', sql`previous_hash`, sql`sha256(entries)`)}
      from content
      returning number, event_count, encode(hash, 'hex') as hash`,
  )
}

export interface ComparedSeal {
  number: number
  event_count: number
  hash: string
  /** In milliseconds since 1970. */
  expired_before: number | null
  /** It names the seal before, which is there. */
  follows: boolean
  /** It is what it was when it was made; what it has given up, it gave up for a reason that is on record. */
  intact: boolean
  /** The events that it covers are there, and are what they were. */
  covers: boolean
}

/** Compares seals with the events that they cover. */
export function compareSeals(db: Db, afterNumber: number, limit: number): Promise<ComparedSeal[]> {
  return allRows<ComparedSeal>(
    db,
    sql`
      select seal.number, seal.event_count, encode(seal.hash, 'hex') as hash,
        (extract(epoch from seal.expired_before) * 1000)::float8 as expired_before,
        seal.number = coalesce(previous.number, 0) + 1
          and seal.previous_hash = coalesce(previous.hash, ${NO_HASH}) as follows,
        seal.hash = ${hashOf('seal', sql`seal.previous_hash`, sql`seal.entries_hash`)}
          and case when seal.entries is null then seal.newest_id < ${firstIdOf('seal.expired_before')}
            else sha256(seal.entries) = seal.entries_hash end
          and (seal.expired_before is null or seal.expired_before <= (${lastExpiry})) as intact,
        seal.entries is not distinct from (${coveredEntries}) as covers
      from audit_seals seal left join audit_seals previous on previous.number = seal.number - 1
      where seal.number > ${afterNumber}
      order by seal.number
      limit ${limit}`,
  )
}

/** `firstIdAt`, in SQL. */
const firstIdOf = (time: string) =>
  sql.raw(`(lpad(to_hex((extract(epoch from ${time}) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid`)

/** Up to where events were dropped, by the events that say so. */
const lastExpiry = sql.raw(`
  select max((changes->'before'->>1)::timestamptz) from events where type = '${auditExpired.name}'`)

/** What the entries of `seal` would be if it were made now. */
const coveredEntries = sql`
  select ${entriesOf('covered')} from (
    select events.id, events.transaction_id, ${digest} as digest
    from events
    where ${afterPrevious}
      and (events.transaction_id, events.id) <= (seal.last_transaction_id, seal.last_id)
  ) covered`

/** The entries of a seal: as they were sealed, and as they would be now; in hexadecimal. */
export function readEntries(
  db: Db,
  number: number,
): Promise<{ sealed: string; present: string } | undefined> {
  return firstRow(
    db,
    sql`
      select coalesce(encode(seal.entries, 'hex'), '') as sealed,
        coalesce(encode((${coveredEntries}), 'hex'), '') as present
      from audit_seals seal left join audit_seals previous on previous.number = seal.number - 1
      where seal.number = ${number}`,
  )
}

/** How many events no seal covers yet, among those before this moment. */
export async function countUnsealed(db: Db, before?: Date): Promise<number> {
  const row = await firstRow<{ count: string }>(
    db,
    sql`
      select count(*) as count
      from events left join (select * from audit_seals order by number desc limit 1) previous on true
      where ${afterPrevious} and ${before === undefined ? sql`true` : sql`events.id < ${firstIdAt(before)}::uuid`}`,
  )
  return Number(row?.count ?? 0)
}

/** Says that events before `time` are gone for good reason, and gives up the entries of seals that cover no other. */
export async function markExpired(tx: Tx, time: Date): Promise<void> {
  const boundary = sql`${firstIdAt(time)}::uuid`
  await tx.execute(sql`
    update audit_seals
    set expired_before = ${time.toISOString()}, entries = case when newest_id < ${boundary} then null else entries end
    where oldest_id < ${boundary} and (expired_before is null or expired_before < ${time.toISOString()})`)
}
