import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Config } from '../config.ts'
import type { Tx } from '../db/types.ts'
import { enqueue } from '../jobs/enqueue.ts'
import type { Actor } from '../lib/actor.ts'
import { newId } from '../lib/id.ts'
import { Unavailable } from '../lib/problems.ts'
import { isMailAddress } from './address.ts'
import { sealLetter } from './letter.ts'
import { sendMail } from './send.ts'
import type { Template } from './template.ts'
import { findTemplate } from './templates/index.ts'
import { canSendMail } from './transport.ts'

interface Mail<Data extends TSchema> {
  to: string
  data: Static<Data>
}

export interface Mailer {
  /** Whether this service can send mail at all. */
  readonly available: boolean
  /** Puts a mail on the caller's transaction: a worker sends it once that has been committed. */
  send<Data extends TSchema>(tx: Tx, actor: Actor, template: Template<Data>, mail: Mail<Data>): Promise<void>
  /** The same for what is only told: where mail is off, nobody is. */
  notify: Mailer['send']
}

export function createMailer(config: Config): Mailer {
  const available = canSendMail(config)
  const mailer: Mailer = {
    available,
    async send(tx, actor, template, { to, data }) {
      if (!available) throw new Unavailable('This service cannot send mail.')
      if (!isMailAddress(to)) throw new TypeError('A mail needs one address to go to.')
      // Here a mistake has a caller; in the job it would have none.
      if (findTemplate(template.name) === undefined) {
        throw new TypeError(`The mail template ${template.name} is not listed.`)
      }
      if (!Value.Check(template.data, data)) {
        throw new TypeError(`The data does not fit the mail template ${template.name}.`)
      }
      const sealed = sealLetter(config, { id: newId(), to, template: template.name, data })
      await enqueue(tx, actor, sendMail, { sealed })
    },
    async notify(...mail) {
      if (available) await mailer.send(...mail)
    },
  }
  return mailer
}
