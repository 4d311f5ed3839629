import type { Config } from '../config.ts'
import { memoized } from '../lib/memoized.ts'
import { createFileTransport } from './file-transport.ts'
import { envelopeOf, type Transport } from './message.ts'
import { smtpOptions } from './smtp.ts'

/** Whether there is anything to send mail with; outside production there always is. */
export const canSendMail = ({ MAIL_SERVER, NODE_ENV }: Config) =>
  MAIL_SERVER !== undefined || NODE_ENV !== 'production'

/** What sends the mails of this process; undefined where mail is off. */
export const transportOf = memoized(async (config: Config): Promise<Transport | undefined> => {
  if (!canSendMail(config)) return undefined
  // Only when the first mail is sent: most processes never send one.
  const { default: nodemailer } = await import('nodemailer')
  const options = smtpOptions(config)
  if (options === undefined) return createFileTransport(nodemailer, config)
  const smtp = nodemailer.createTransport(options)
  return {
    async send(message) {
      await smtp.sendMail(envelopeOf(config, message))
    },
  }
})
