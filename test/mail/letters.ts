import { sql } from 'drizzle-orm'
import type { App } from '../../src/app.ts'
import { allRows } from '../../src/db/rows.ts'
import { type Letter, openLetter } from '../../src/mail/letter.ts'

type Data = Record<string, unknown> & { url?: string }

/** The mails to an address that wait to be sent, oldest first. */
export async function lettersTo(app: App, address: string): Promise<(Letter & { data: Data })[]> {
  const rows = await allRows<{ sealed: string }>(
    app.database.db,
    sql`select data->'payload'->>'sealed' as sealed from pgboss.job where name = 'mail.send' order by id`,
  )
  const letters = rows.map(({ sealed }) => openLetter(app.accounts.config, sealed))
  return letters.filter(({ to }) => to === address) as (Letter & { data: Data })[]
}

/** The token in the last link of a kind that was mailed to an address. */
export async function tokenTo(app: App, address: string, template: string): Promise<string> {
  const letters = await lettersTo(app, address)
  const url = letters.filter(letter => letter.template === template).at(-1)?.data.url
  return /#token=(.+)$/.exec(url ?? '')?.[1] ?? ''
}
