import type { Tx } from '../db/types.ts'
import type { Actor } from '../lib/actor.ts'
import { passwordChangedMail } from '../mail/templates/password-changed.ts'
import type { Accounts } from './accounts.ts'
import type { User } from './schemas.ts'

/** When and from where, as mails tell it. */
export const circumstances = ({ origin: { ip, user_agent } }: Actor) => ({
  at: new Date().toISOString(),
  ip,
  user_agent,
})

/** Tells users that their password is another one now. */
export async function tellOfPassword(
  tx: Tx,
  { mailer }: Accounts,
  actor: Actor,
  { email: to, first_name }: Pick<User, 'email' | 'first_name'>,
  how: 'changed' | 'reset',
): Promise<void> {
  await mailer.notify(tx, actor, passwordChangedMail, {
    to,
    data: { first_name, how, ...circumstances(actor) },
  })
}
