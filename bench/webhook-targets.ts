import { pino } from 'pino'
import { sessions, users } from '../src/accounts/tables.ts'
import { type App, buildApp } from '../src/app.ts'
import { parseConfig } from '../src/config.ts'
import { openEmbedded } from '../src/db/embedded.ts'
import { MOST_WEBHOOKS } from '../src/domains/webhooks/limits.ts'
import { newId } from '../src/lib/id.ts'
import { prepareDatabase } from '../src/prepare.ts'
import { resolveForTests, TARGETS } from '../test/domains/webhooks/targets.ts'
import { endAfter } from './lib/limits.ts'
import { temporaryDirectory } from './lib/service.ts'

// What the service answers to each way to write an address for a webhook, as a page of Markdown.

const LONGEST_SHOWN = 80

endAfter(120)

const app = await startApp()
const rows: string[] = []
let surprises = 0
let headers = {}
for (const [count, { url, allowed, what }] of TARGETS.entries()) {
  if (count % MOST_WEBHOOKS === 0) headers = await aCaller(app)
  const answer = await app.inject({ method: 'POST', url: '/api/v1/webhooks', headers, payload: { url } })
  const isAsExpected = answer.statusCode === (allowed ? 201 : 400)
  if (!isAsExpected) surprises++
  const { errors = [] } = answer.json()
  const message = errors.map((fault: { message: string }) => fault.message).join('; ')
  rows.push(
    row([
      code(url),
      what,
      `${answer.statusCode}${isAsExpected ? '' : ' **(not as it should be)**'}`,
      message,
    ]),
  )
}
await app.close()
await app.database.close()

console.log(`# Targets of webhooks

What \`POST /api/v1/webhooks\` answers to each of ${TARGETS.length} ways to write an address, ${rows.length - surprises} of them as they should be. Written by
\`npx tsx bench/webhook-targets.ts > docs/webhook-targets.md\`, against the service itself; names are looked up in a
table, not in the net. A name is judged by all addresses that it has when the webhook is made, and again by those that it
has at each connection, so one that changes its mind later is not reached either. A name that nothing knows yet may be
kept: there is no address to be refused.

${row(['address', 'what it is', 'status', 'message'])}
${row(['---', '---', '---', '---'])}
${rows.join('\n')}`)
if (surprises > 0) process.exitCode = 1

async function startApp(): Promise<App> {
  const config = parseConfig({ NODE_ENV: 'test', JWT_SECRET_KEY: 'only for benches, 32 characters long' })
  const database = await openEmbedded(temporaryDirectory())
  await prepareDatabase(database)
  const logger = pino({ level: 'silent' })
  const started = await buildApp(config, { database, logger, resolve: resolveForTests })
  await started.ready()
  return started
}

/** Somebody who has no webhook yet. */
async function aCaller({ database: { db }, accessTokens }: App) {
  const [id, session_id] = [newId(), newId()]
  const names = { first_name: 'Ada', last_name: 'Lovelace' }
  await db.insert(users).values({ id, email: `${id}@example.com`, password_hash: 'none', ...names })
  const expires_at = new Date(Date.now() + 3_600_000)
  await db.insert(sessions).values({ id: session_id, user_id: id, secret_hash: Buffer.alloc(32), expires_at })
  return { authorization: `Bearer ${accessTokens.sign({ user_id: id, session_id, role: 'user' })}` }
}

function row(cells: readonly string[]): string {
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

/** As a string of JSON where it holds what cannot be seen. */
function code(url: string): string {
  const shown = url.length > LONGEST_SHOWN ? `${url.slice(0, LONGEST_SHOWN)}…` : url
  const isPlain = shown !== '' && !/[\s\p{Cc}\p{Cf}]/u.test(shown)
  return `\`${isPlain ? shown : escaped(shown)}\``
}

function escaped(text: string): string {
  return JSON.stringify(text).replace(
    /\p{Cf}/gu,
    unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
