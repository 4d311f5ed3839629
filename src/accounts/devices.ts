import { sql } from 'drizzle-orm'
import { firstRow } from '../db/rows.ts'
import type { Tx } from '../db/types.ts'
import type { Actor, Origin } from '../lib/actor.ts'
import { sha256 } from '../lib/opaque.ts'
import { newDeviceMail } from '../mail/templates/new-device.ts'
import type { Accounts } from './accounts.ts'
import { circumstances } from './notices.ts'
import type { User } from './schemas.ts'

/** Remembers what somebody signs in from, and tells them when that is new. */
export async function noteDevice(tx: Tx, { mailer }: Accounts, actor: Actor, user: User) {
  const row = await firstRow<{ known: boolean; others: boolean }>(
    tx,
    sql`
      with before as (select fingerprint from devices where user_id = ${user.id}),
      seen as (
        insert into devices (user_id, fingerprint) values (${user.id}, ${fingerprintOf(actor.origin)})
        on conflict (user_id, fingerprint) do update set last_seen_at = now() returning fingerprint
      )
      select exists (select from before join seen using (fingerprint)) as known, exists (select from before) as others`,
  )
  // The first device of all is the one that the account was made on.
  if (row === undefined || row.known || !row.others) return
  const data = { first_name: user.first_name, ...circumstances(actor) }
  await mailer.notify(tx, actor, newDeviceMail, { to: user.email, data })
}

/** The program without its version, which changes every few weeks, and the network without the machine. */
function fingerprintOf({ ip, user_agent }: Origin): Buffer {
  const program = (user_agent ?? '').replace(/[\d.]+/g, '')
  const network = (ip ?? '').includes(':')
    ? ip?.split(':').slice(0, 3).join(':')
    : ip?.split('.').slice(0, 2).join('.')
  return sha256(`${program}\n${network ?? ''}`)
}
