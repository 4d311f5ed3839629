import { type SQL, sql } from 'drizzle-orm'
import type { Accounts } from '../../accounts/accounts.ts'
import { firstRow } from '../../db/rows.ts'
import type { Db } from '../../db/types.ts'
import { Progress } from '../../lib/progress.ts'

export interface Amounts {
  users: number
  items: number
}

/** All of them share one, because a hash takes longer than a hundred rows. */
const PASSWORD = 'password123'

/** Rows that one statement adds, and loses when it is interrupted. */
const CHUNK = 5_000

const YEAR_MS = 31_536_000_000

/** The golden section of a year, and prime to it: however many steps, they fall evenly over the year and never meet. */
const STRIDE_MS = 19_490_319_871

/**
 * Users of the year 2024 and items of 2025. Each is made of its number and nothing else, so the same is made each time,
 * and what is there already stays: after an interruption, the same command adds the rest.
 *
 * None has an event: nobody has done anything, and a million events would be sealed, kept and delivered.
 */
export async function addMass({ database, passwords }: Accounts, amounts: Amounts): Promise<Amounts> {
  const { db } = database
  if (amounts.users === 0) return { users: 0, items: 0 }
  const hash = await passwords.hash(PASSWORD)
  const users = await inChunks(db, 'Users', amounts.users, numbers => insertUsers(numbers, hash))
  const items = await inChunks(db, 'Items', amounts.items, numbers => insertItems(numbers, amounts.users))
  // Nobody else does it for the embedded database, and on a server plans are poor until somebody has.
  await db.execute(sql`analyze users, items`)
  return { users, items }
}

/** Each chunk is a transaction. Returns how many rows were not there before. */
async function inChunks(db: Db, label: string, total: number, insert: (numbers: SQL) => SQL) {
  const progress = new Progress(label, total)
  let added = 0
  for (let from = 1; from <= total; from += CHUNK) {
    const to = Math.min(from + CHUNK - 1, total)
    const numbers = sql`generate_series(${from}::bigint, ${to}::bigint)`
    const row = await firstRow<{ count: number }>(
      db,
      sql`with added as (${insert(numbers)} on conflict do nothing returning 1) select count(*)::int as count from added`,
    )
    added += row?.count ?? 0
    progress.update(to)
  }
  return added
}

const insertUsers = (numbers: SQL, hash: string) => sql`
  insert into users (
    id, email, password_hash, first_name, last_name, is_active, tier, email_verified,
    password_changed_at, created_at, updated_at
  )
  select id, 'person-' || number || '@example.com', ${hash}, ${one(FIRST_NAMES, 400)}, ${one(LAST_NAMES, 8_000)},
    chance % 20 > 0, case when chance % 7 = 0 then 'premium' else 'standard' end, true,
    at, at, at
  from (${numbered('user', 2024, numbers)}) person
  order by id`

const insertItems = (numbers: SQL, users: number) => sql`
  insert into items (id, user_id, title, description, status, price, metadata, created_at, updated_at)
  select id, ${idFrom('owner')},
    ${one(QUALITIES, 40)} || ' ' || ${one(MATERIALS, 800)} || ' ' || ${one(THINGS, 9_600)},
    case when chance / 10 % 4 > 0 then
      'One ' || ${one(THINGS, 9_600)} || ' of ' || ${one(MATERIALS, 800)} || ', made in ' || ${one(PLACES, 200_000)} || '.'
    end,
    case when chance % 10 < 6 then 'published' when chance % 10 < 9 then 'draft' else 'archived' end,
    case when chance % 50 > 0 then (chance / 50 % 100000) / 100.0 * (1 + chance % 3 * 9) else 0 end,
    jsonb_build_object(
      'color', ${one(COLORS, 2_000_000)}, 'weight_grams', chance % 9000 + 100,
      'tags', jsonb_build_array(${one(COLORS, 2_000_000)}, ${one(MATERIALS, 800)})
    ),
    at, at
  from (${numbered('item', 2025, numbers)}) item,
    lateral ${drawn('user', 2024, sql`1 + number % ${users}::bigint`)} owner
  order by id`

/** A row for each number: its id, the moment in it, and a number that looks like chance for all that is to vary. */
const numbered = (kind: string, year: number, numbers: SQL) => sql`
  select number, ${idFrom('own')} as id, to_timestamp(own.ms / 1000.0) as at,
    ('x' || substr(own.digest, 20, 7))::bit(28)::int as chance
  from ${numbers} number, lateral ${drawn(kind, year, sql`number`)} own
  offset 0`

/** `offset 0` keeps Postgres from computing all this anew wherever it is used, which took two thirds of the time. */
const drawn = (kind: string, year: number, number: SQL) => sql`(
  select md5(${sql.raw(`'${kind} '`)} || (${number})) as digest,
    ${sql.raw(String(Date.UTC(year)))} + (${number}) * ${sql.raw(String(STRIDE_MS))} % ${sql.raw(String(YEAR_MS))} as ms
  offset 0
)`

/** A UUIDv7, whose random part is none. */
const idFrom = (row: 'own' | 'owner') =>
  sql.raw(
    `(lpad(to_hex(${row}.ms), 12, '0') || '7' || substr(${row}.digest, 1, 3) || '8' || substr(${row}.digest, 4, 15))::uuid`,
  )

/** One of the words. Each column looks at another part of the chance, or all that is big would be published. */
const one = (words: string, part: number) => {
  const list = words.split(' ')
  return sql.raw(`('{${list.join()}}'::text[])[1 + chance / ${part} % ${list.length}]`)
}

const FIRST_NAMES =
  'Ada Alan Barbara Carol Donald Edith Frances Grace Hedy Ivan Joan Karen Leslie Margaret Niklaus Olga Peter Radia Sophie Tim'
const LAST_NAMES =
  'Adler Baker Cohen Dubois Eriksen Fischer Garcia Haddad Ito Jansen Kowalski Larsen Moreau Novak Okafor Patel Quinn Rossi Silva Tanaka'
const QUALITIES =
  'Big Bright Cheap Curved Dark Fine Folding Heavy High Light Long New Old Plain Round Short Slim Small Solid Wide'
const MATERIALS = 'ash beech brass clay copper cork felt glass iron linen oak steel'
const THINGS =
  'basket bench bowl box chair clock cup desk hook jug kettle lamp mirror rack shelf sofa stool table tray vase'
const PLACES = 'Bergen Bilbao Bruges Gdansk Ghent Graz Porto Split Turin Zagreb'
const COLORS = 'black blue brown green grey orange red white yellow'
