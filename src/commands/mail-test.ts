import { hostname } from 'node:os'
import { inTransaction } from '../db/transaction.ts'
import { systemActor } from '../lib/actor.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import { isMailAddress } from '../mail/address.ts'
import { createMailer } from '../mail/mailer.ts'
import { testMail } from '../mail/templates/test.ts'
import type { Command } from './command.ts'
import { withDatabase } from './with-database.ts'

const run: Command = ([to = '']) => {
  if (!isMailAddress(to)) {
    throw new StartupError('Say where to: plinth mail-test ADDRESS, as in name@example.com.', EXIT_USAGE)
  }
  return withDatabase(async ({ db }, config) => {
    const mailer = createMailer(config)
    if (!mailer.available) throw new StartupError('MAIL_SERVER is not set, so no mail can be sent.')
    const data = { asked_at: new Date().toISOString(), host: hostname(), environment: config.NODE_ENV }
    await inTransaction(db, tx => mailer.send(tx, systemActor(), testMail, { to, data }))
    process.stdout.write(`The mail is queued; a worker sends it. \`plinth jobs list\` shows if it failed.\n`)
    return 0
  })
}

export default run
