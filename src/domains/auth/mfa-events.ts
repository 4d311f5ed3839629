import { Type } from '@sinclair/typebox'
import { User } from '../../accounts/schemas.ts'
import { defineEvent } from '../../events/event-type.ts'

const fields = Type.Pick(User, ['mfa_enabled'])

export const mfaEnabled = defineEvent('mfa.enabled', fields)
export const mfaDisabled = defineEvent('mfa.disabled', fields)
export const mfaRecoveryCodesReplaced = defineEvent(
  'mfa.recovery_codes_replaced',
  Type.Object({ recovery_codes_left: Type.Integer() }),
)
