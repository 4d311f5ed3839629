import { Type } from '@sinclair/typebox'
import { defineEvent } from '../../events/event-type.ts'
import { Webhook } from './schemas.ts'

const fields = Type.Pick(Webhook, [
  'url',
  'description',
  'types',
  'scope',
  'enabled',
  'disabled_reason',
  'version',
])

export const webhookCreated = defineEvent('webhook.created', fields)
export const webhookUpdated = defineEvent('webhook.updated', fields)
/** By its owner, or by the service: the reason tells. */
export const webhookDisabled = defineEvent('webhook.disabled', fields)
export const webhookRotated = defineEvent(
  'webhook.rotated',
  Type.Pick(Webhook, ['previous_secret_expires_at', 'version']),
)
export const webhookDeleted = defineEvent('webhook.deleted', fields)
