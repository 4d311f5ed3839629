import { randomUUID } from 'node:crypto'
import postgres, { type Sql } from 'postgres'

export const BIG = 1_000_000
const SMALL = 100
const CHUNK = 250_000

/** What a search for 20 of an owner's items looks for; nobody else has it more often. */
export const RARE_WORD = 'Zebrafink'
export const RARE_ROWS = 20

/** As SQL, from a number: five words of two syllables, out of some thousands. */
const words = (number: string, count: number) => `(
  select string_agg(
    substr('bcdfghklmnprst', 1 + (${number} * 7 + w * 13) % 14, 1) || substr('aeiou', 1 + (${number} + w) % 5, 1) ||
    substr('bcdfghklmnprst', 1 + (${number} * 5 + w * 3) % 14, 1) || substr('aeiou', 1 + (${number} / 3 + w) % 5, 1) ||
    substr('lmnrst', 1 + (${number} / 7 + w) % 6, 1), ' ')
  from generate_series(1, ${count}) w)`

/**
 * Items of one owner of a million, and as many others with a hundred each as make up the rest, in the order of time and
 * mixed as they would be. A tenth is archived, three tenths published. Triggers and all but the indexes of constraints are
 * away meanwhile; the counts are made anew.
 */
export async function fillItems(url: string, big: string, small: string, total: number): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {} })
  await client`set maintenance_work_mem = '1GB'`
  const others = (total - BIG) / SMALL
  await client`
    insert into users (id, email, password_hash, first_name, last_name)
    select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'other-' || n || '@bench.test', 'x', 'O', 'T'
    from generate_series(1, ${others - 1}) n`
  const restore = await dropIndexes(client)
  await client`alter table items disable trigger user`
  const run = randomUUID()
  for (let from = 0; from < total; from += CHUNK) {
    await client.unsafe(insert(from, Math.min(from + CHUNK, total), total, { big, small, others, run }))
  }
  await client`alter table items enable trigger user`
  await client`
    insert into item_counts (user_id, slot, draft, published, archived)
    select user_id, 0, count(*) filter (where status = 'draft'), count(*) filter (where status = 'published'),
      count(*) filter (where status = 'archived')
    from items where deleted_at is null group by user_id`
  for (const definition of restore) await client.unsafe(definition)
  await client`vacuum (analyze) items`
  await client`vacuum (analyze) item_counts`
  await client`vacuum (analyze) users`
  await client.end()
}

interface Owners {
  big: string
  small: string
  others: number
  run: string
}

/** Every fifth item is the big owner's; where the total is less, more often. */
function insert(from: number, to: number, total: number, { big, small, others, run }: Owners): string {
  const every = Math.round(total / BIG)
  return `
    insert into items (id, user_id, title, description, status, price, metadata, created_at, updated_at)
    select
      (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid,
      case when mine then '${big}'::uuid
        when other = 0 then '${small}'::uuid
        else ('00000000-0000-7000-8000-' || lpad(to_hex(other), 12, '0'))::uuid end,
      'Item ' || i || ' ' || ${words('i', 2)} ||
        case when (mine and i / ${every} % ${BIG / RARE_ROWS} = 7) or (other = 0 and nth % ${SMALL / RARE_ROWS} = 0 and not mine) then ' ${RARE_WORD}' else '' end,
      ${words('i + 1', 8)},
      case when i * 7::bigint % 100 < 10 then 'archived' when i * 7::bigint % 100 < 40 then 'published' else 'draft' end,
      (i * 7919::bigint % 1000000)::numeric / 100,
      jsonb_build_object('color', (array['red', 'green', 'blue', 'white'])[1 + i % 4], 'size', i % 50, 'serial', 'S' || i),
      at, at + interval '1 hour' * (i * 31::bigint % 1000)
    from (
      select i, i % ${every} = 0 as mine, (i - i / ${every} - 1) % ${others} as other, (i - i / ${every} - 1) / ${others} as nth,
        now() - interval '400 days' + interval '399 days' * (i::float8 / ${total}) as at, md5('${run}' || i) as hash
      from generate_series(${from}, ${to - 1}) i
    ) numbered`
}

/** Returns what makes them again. */
async function dropIndexes(client: Sql): Promise<string[]> {
  const indexes = await client<{ name: string; definition: string }[]>`
    select indexname as name, indexdef as definition from pg_indexes
    where tablename = 'items' and indexname <> 'items_pkey'`
  for (const { name } of indexes) await client`drop index ${client(name)}`
  return indexes.map(({ definition }) => definition)
}
