import { eq } from 'drizzle-orm'
import { users } from '../../accounts/tables.ts'
import type { Tx } from '../../db/types.ts'
import type { Actor } from '../../lib/actor.ts'
import { NO_PRECONDITION } from '../../lib/precondition.ts'
import type { Mailer } from '../../mail/mailer.ts'
import { webhookDisabledMail } from '../../mail/templates/webhook-disabled.ts'
import { changeWebhook } from './service.ts'

/** The service gives a receiver up, and tells the owner. */
export async function disableWebhook(
  tx: Tx,
  mailer: Mailer,
  actor: Actor,
  id: string,
  disabled_reason: 'gone' | 'failing',
) {
  const target = { id, owner_id: null, precondition: NO_PRECONDITION }
  const changes = { enabled: false, disabled_reason }
  const { url, user_id, ...webhook } = await changeWebhook(tx, actor, target, { own_only: false, changes })
  // The owner was first.
  if (webhook.disabled_reason !== disabled_reason) return
  const [owner] = await tx
    .select({ email: users.email, first_name: users.first_name })
    .from(users)
    .where(eq(users.id, user_id))
  if (owner === undefined) return
  const { email: to, first_name } = owner
  await mailer.notify(tx, actor, webhookDisabledMail, {
    to,
    data: { first_name, url, id, why: disabled_reason },
  })
}
