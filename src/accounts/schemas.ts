import { type Static, Type } from '@sinclair/typebox'
import { ROLES, TIERS } from '../lib/access.ts'
import { component, Id, Nullable, OneOf, Timestamp } from '../lib/schema.ts'
import { users } from './tables.ts'

const MAX_EMAIL_LENGTH = 254
const MAX_NAME_LENGTH = 100
/** So that a caller cannot make us hash a megabyte. */
const MAX_PASSWORD_LENGTH = 128

export const Email = Type.String({
  format: 'email',
  maxLength: MAX_EMAIL_LENGTH,
  description: 'Compared without case, and kept in lower case.',
})
export const Name = Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: '\\S' })
/** One that is being chosen. */
export const NewPassword = Type.String({ minLength: 8, maxLength: MAX_PASSWORD_LENGTH, format: 'password' })
/** One that is being checked: also of a length that is not allowed any more. */
export const Password = Type.String({ minLength: 1, maxLength: MAX_PASSWORD_LENGTH, format: 'password' })

export const User = component(
  'User',
  Type.Object(
    {
      id: Id,
      email: Email,
      first_name: Name,
      last_name: Name,
      full_name: Type.String(),
      role: OneOf([...ROLES]),
      is_admin: Type.Boolean(),
      is_active: Type.Boolean({ description: 'Whether the user may sign in.' }),
      tier: OneOf([...TIERS], { description: 'Which rate limits apply.' }),
      email_verified: Type.Boolean(),
      mfa_enabled: Type.Boolean({ description: 'Whether a code is asked for after the password.' }),
      version: Type.Integer({ minimum: 1, description: 'One more with each change.' }),
      created_at: Timestamp,
      updated_at: Timestamp,
      last_login_at: Type.Optional(Nullable(Timestamp, { description: 'Shown to administrators only.' })),
      deleted_at: Type.Optional(Nullable(Timestamp, { description: 'Shown to administrators only.' })),
    },
    { description: 'An account.' },
  ),
)
export type User = Static<typeof User>

/** What a query selects to answer with `User`. */
export const userColumns = {
  id: users.id,
  email: users.email,
  first_name: users.first_name,
  last_name: users.last_name,
  full_name: users.full_name,
  role: users.role,
  is_admin: users.is_admin,
  is_active: users.is_active,
  tier: users.tier,
  email_verified: users.email_verified,
  mfa_enabled: users.mfa_enabled,
  version: users.version,
  created_at: users.created_at,
  updated_at: users.updated_at,
}

/** The same for administrators. */
export const managedUserColumns = {
  ...userColumns,
  last_login_at: users.last_login_at,
  deleted_at: users.deleted_at,
}

/** What somebody gives to become a user. */
export const NewUserFields = {
  email: Email,
  password: NewPassword,
  password_confirm: Type.Optional(
    Type.String({
      maxLength: MAX_PASSWORD_LENGTH,
      format: 'password',
      description: 'If sent, the same again.',
    }),
  ),
  first_name: Name,
  last_name: Name,
}
