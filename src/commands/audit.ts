import type { Db } from '../db/types.ts'
import { exportEvents, type Verification, verifyAudit } from '../domains/audit/public.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import type { Command } from './command.ts'
import { printLines } from './print-lines.ts'
import { withDatabase } from './with-database.ts'

const run: Command = ([action]) => {
  if (action === 'verify') return withDatabase(({ db }) => verify(db))
  if (action === 'export') return withDatabase(({ db }) => exportAll(db))
  throw new StartupError('Say what to do: plinth audit verify, or plinth audit export.', EXIT_USAGE)
}

export default run

async function verify(db: Db): Promise<number> {
  const found = await verifyAudit(db, { after_seal: 0, time_ms: Number.POSITIVE_INFINITY })
  process.stdout.write(`${describe(found)}\n`)
  return found.valid ? 0 : 1
}

function describe({
  breach,
  events,
  seals,
  last_hash,
  unsealed_events,
  expired_before,
}: Verification): string {
  const looked = `${events} events under ${seals} seals`
  if (breach !== null) {
    const what = breach.event_id === null ? `seal ${breach.seal}` : `event ${breach.event_id}`
    return `BROKEN: ${what} (${breach.fault}), in seal ${breach.seal}, after ${looked} that are whole.`
  }
  return [
    `Whole: ${looked}; ${unsealed_events} not sealed yet.`,
    ...(last_hash === null ? [] : [`The last seal is ${last_hash}.`]),
    ...(expired_before === null ? [] : [`Events before ${expired_before.toISOString()} were dropped.`]),
  ].join('\n')
}

async function exportAll(db: Db): Promise<number> {
  await printLines(await exportEvents(db, {}))
  return 0
}
