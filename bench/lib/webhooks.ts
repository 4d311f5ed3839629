import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sql } from 'drizzle-orm'
import { users } from '../../src/accounts/tables.ts'
import { type Config, parseConfig } from '../../src/config.ts'
import { connect } from '../../src/db/connect.ts'
import type { Database } from '../../src/db/types.ts'
import { newSecret, vaultOf } from '../../src/domains/webhooks/secrets.ts'
import { webhooks } from '../../src/domains/webhooks/tables.ts'
import { newId } from '../../src/lib/id.ts'
import { prepareDatabase } from '../../src/prepare.ts'

/** What services that send to loopback are started with. */
export const SENDING = {
  WEBHOOK_ALLOW_PRIVATE: 'true',
  JWT_SECRET_KEY: 'only for benches, of 32 characters or more',
}

export interface Arrival {
  path: string
  id: string
  /** By `performance.now()`. */
  at: number
}

/** Answers after a while, or never what is sent below `/hanging`. */
export async function receive(answerAfterMs: number) {
  const arrivals: Arrival[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    request.resume().once('end', () => {
      arrivals.push({ path, id: String(request.headers['webhook-id']), at: performance.now() })
      if (!path.startsWith('/hanging')) answer(response)
    })
  })
  const answer = (response: ServerResponse) => {
    if (answerAfterMs === 0) response.writeHead(204).end()
    else setTimeout(() => response.writeHead(204).end(), answerAfterMs)
  }
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  // So that it does not keep a bench that is over.
  server.unref()
  return { arrivals, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** A prepared database, as whoever makes webhooks there sees it. */
export async function openDatabase(environment: Record<string, string>) {
  const config = parseConfig(environment)
  const database = await connect(config)
  await prepareDatabase(database)
  return { config, database }
}

/** A new user with so many webhooks. */
export async function addWebhooks(
  { config, database: { db } }: { config: Config; database: Database },
  urls: readonly string[],
): Promise<string> {
  const user_id = newId()
  const names = { first_name: 'Ada', last_name: 'Lovelace' }
  await db
    .insert(users)
    .values({ id: user_id, email: `${user_id}@example.com`, password_hash: 'none', ...names })
  const vault = vaultOf(config)
  const rows = urls.map(url => ({
    ...{ user_id, url, types: ['*'], scope: 'own' as const, made_in_transaction: 0n },
    secret: vault.seal(newSecret()),
  }))
  await db.insert(webhooks).values(rows)
  return user_id
}

/** So many events at once, of the size that most have. */
export const addEvents = ({ db }: Database, owner_id: string, count: number) =>
  db.execute(sql`
    insert into events (id, type, actor_type, owner_id, subject_type, subject_id, changes)
    select gen_random_uuid(), 'item.created', 'system', ${owner_id}, 'item', gen_random_uuid(),
      jsonb_build_object('title', jsonb_build_array(null, 'Item ' || n))
    from generate_series(1, ${count}::int) as n`)

/** The processes of Postgres that work for this database. */
export async function backendsOf({ db }: Database): Promise<number[]> {
  const rows = (await db.execute(
    sql`select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  )) as unknown as { pid: number }[]
  return rows.map(({ pid }) => pid)
}
