import { Type } from '@sinclair/typebox'
import { defineEvent } from '../events/event-type.ts'
import { Nullable, Timestamp } from '../lib/schema.ts'
import { User } from './schemas.ts'

const fields = Type.Pick(User, [
  'email',
  'first_name',
  'last_name',
  'role',
  'is_active',
  'tier',
  'email_verified',
  'mfa_enabled',
])

/** By whatever may change a name, or take it away: everybody can read it beside what the user has written. */
const announced = { announced: true }

export const userCreated = defineEvent('user.created', fields)
export const userUpdated = defineEvent('user.updated', fields, announced)
export const userDeactivated = defineEvent('user.deactivated', fields, announced)
export const userRoleChanged = defineEvent('user.role_changed', fields, announced)
export const userEmailChanged = defineEvent('user.email_changed', fields, announced)
export const userEmailVerified = defineEvent('user.email_verified', fields)
export const userDeleted = defineEvent('user.deleted', fields, announced)
export const userRestored = defineEvent('user.restored', fields, announced)
/** For good, when it can no longer be restored; by then its name is nobody's business. */
export const userPurged = defineEvent('user.purged', Type.Object({}), announced)
export const userPasswordChanged = defineEvent(
  'user.password_changed',
  Type.Object({
    how: Nullable(Type.String()),
    ...Type.Pick(User, ['email_verified', 'mfa_enabled']).properties,
  }),
)

export const sessionCreated = defineEvent('session.created', Type.Object({ method: Type.String() }))
export const sessionRevoked = defineEvent('session.revoked', Type.Object({ how: Type.String() }))
export const sessionReuseDetected = defineEvent('session.reuse_detected', Type.Object({}))

export const loginFailed = defineEvent('login.failed', Type.Object({ reason: Type.String() }))
export const accountLocked = defineEvent(
  'account.locked',
  Type.Object({ locked_until: Nullable(Timestamp), failures: Type.Integer() }),
)
