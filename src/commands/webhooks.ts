import { parseArgs } from 'node:util'
import type { Accounts } from '../accounts/accounts.ts'
import { ANYBODYS } from '../domains/webhooks/access.ts'
import { listHealth, type WebhookHealth } from '../domains/webhooks/queries.ts'
import { replayDelivery, replayRange } from '../domains/webhooks/sending-again.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import { isUuid } from '../lib/schema.ts'
import { printable } from '../lib/text.ts'
import type { Command } from './command.ts'
import { demandUser, withAccounts } from './with-accounts.ts'

const run: Command = ([action, ...args]) => {
  if (action === 'list') return runList(args)
  if (action === 'replay') return runReplay(args)
  throw new StartupError(
    'Say what to do: plinth webhooks list EMAIL, or plinth webhooks replay ID.',
    EXIT_USAGE,
  )
}

export default run

function runList(args: string[]): Promise<number> {
  const { positionals } = parseArgs({ args, allowPositionals: true })
  const [email = '', ...others] = positionals
  if (email === '' || others.length > 0) {
    throw new StartupError('Say whose webhooks: plinth webhooks list EMAIL.', EXIT_USAGE)
  }
  return withAccounts(accounts => list(accounts, email))
}

export async function list(accounts: Accounts, email: string): Promise<string> {
  const { id } = await demandUser(accounts, email)
  const found = await listHealth(accounts.database.db, id)
  const count = found.length === 1 ? '1 webhook.' : `${found.length} webhooks.`
  return [...found.map(describeWebhook), count].join('\n')
}

export function describeWebhook(webhook: WebhookHealth): string {
  const { id, url, enabled, disabled_reason, failing_since, pending, failed } = webhook
  const facts = [
    enabled ? 'enabled' : `disabled (${disabled_reason})`,
    ...(failing_since === null ? [] : [`failing since ${failing_since.toISOString()}`]),
    `pending ${pending}`,
    `failed ${failed}`,
  ]
  return `${id}  ${facts.join(', ')}  ${printable(url)}`
}

function runReplay(args: string[]): Promise<number> {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      from: { type: 'string' },
      to: { type: 'string' },
      'failed-only': { type: 'boolean', default: false },
      delivery: { type: 'string' },
    },
  })
  const [id = '', ...others] = positionals
  if (!isUuid(id) || others.length > 0) {
    throw new StartupError('Name the webhook by its id, as `plinth webhooks list` shows it.', EXIT_USAGE)
  }
  const { from, to, delivery } = values
  const wanted = readWanted({ from, to, delivery, failed_only: values['failed-only'] })
  return withAccounts(accounts => replay(accounts, id, wanted))
}

interface Options {
  from: string | undefined
  to: string | undefined
  delivery: string | undefined
  failed_only: boolean
}

type Wanted = { delivery: string } | { from: string; to?: string; failed_only: boolean }

const BEGINNING = '1970-01-01T00:00:00Z'

/** All that there ever was has to be asked for by naming a time. */
function readWanted({ from, to, delivery, failed_only }: Options): Wanted {
  if (delivery !== undefined) {
    if (from !== undefined || to !== undefined || failed_only) {
      throw new StartupError('With --delivery, nothing else can be chosen.', EXIT_USAGE)
    }
    if (!isUuid(delivery)) throw new StartupError('--delivery is the id of a delivery.', EXIT_USAGE)
    return { delivery }
  }
  if (from === undefined && !failed_only) {
    throw new StartupError('Say what to send again: --from TIME, --failed-only or --delivery ID.', EXIT_USAGE)
  }
  const start = from === undefined ? BEGINNING : readTime('--from', from)
  return { from: start, failed_only, ...(to !== undefined && { to: readTime('--to', to) }) }
}

const TIME = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/

/** As over HTTP, or a day, which begins in UTC. */
function readTime(option: string, text: string): string {
  const day = TIME.exec(text)?.[1] ?? ''
  // Date takes the 30th of February for the 2nd of March.
  if (!isTime(text) || !isTime(day) || !new Date(day).toISOString().startsWith(day)) {
    throw new StartupError(`${option} is a moment like 2026-11-21T08:00:00Z, or a day.`, EXIT_USAGE)
  }
  return new Date(text).toISOString()
}

const isTime = (text: string) => !Number.isNaN(Date.parse(text))

export async function replay({ database: { db } }: Accounts, id: string, wanted: Wanted): Promise<string> {
  if ('delivery' in wanted) {
    const { type } = await replayDelivery(db, id, ANYBODYS, wanted.delivery)
    return `The ${type} is on its way again.`
  }
  const count = await replayRange(db, id, ANYBODYS, wanted)
  return `Events that are on their way again: ${count}.`
}
