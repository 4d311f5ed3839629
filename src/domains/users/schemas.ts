import { type Static, Type } from '@sinclair/typebox'
import { Email, Name, NewPassword, NewUserFields, Password, User } from '../../accounts/schemas.ts'
import { ROLES } from '../../lib/access.ts'
import { SortedPage, sortedList } from '../../lib/paging.ts'
import { component, Id, OneOf } from '../../lib/schema.ts'

const closed = { additionalProperties: false }

/** What administrators decide about a user. */
const managed = {
  role: Type.Optional(User.properties.role),
  is_active: Type.Optional(User.properties.is_active),
  tier: Type.Optional(User.properties.tier),
}

export const NewUser = component(
  'NewUser',
  Type.Object(
    { ...NewUserFields, ...managed },
    { ...closed, description: 'Somebody new. `role`, `is_active` and `tier` are for administrators to set.' },
  ),
)
export type NewUser = Static<typeof NewUser>

const names = { first_name: Type.Optional(Name), last_name: Type.Optional(Name) }

export const ProfileChanges = component(
  'ProfileChanges',
  Type.Object(names, { ...closed, description: 'What is to be different.' }),
)

export const UserChanges = component(
  'UserChanges',
  Type.Object(
    { ...names, email: Type.Optional(Email), ...managed },
    { ...closed, description: 'What is to be different; all but the names is for administrators.' },
  ),
)
export type UserChanges = Static<typeof UserChanges>

export const UserParameters = Type.Object({ id: Id })

export const sortedUsers = sortedList(
  'users',
  { created_at: 'moment', updated_at: 'moment', email: 'text', full_name: 'text', last_login_at: 'moment' },
  'created_at',
)

const filters = {
  search: Type.Optional(
    Type.String({ maxLength: 254, description: 'A part of the e-mail or the full name, in any case.' }),
  ),
  role: Type.Optional(OneOf([...ROLES])),
  active_only: Type.Boolean({ default: true, description: 'Whether to leave out who may not sign in.' }),
  include_deleted: Type.Boolean({ default: false, description: 'Whether to show who can be restored, too.' }),
}

const UserFilter = Type.Object(filters)
export type UserFilter = Static<typeof UserFilter>

export const UserListParameters = Type.Object({ ...filters, ...sortedUsers.parameters })
export const UserPage = component('UserPage', SortedPage(User))

/** Asked again, because who sits at the screen may be somebody else. */
export const Deactivation = component(
  'Deactivation',
  Type.Object({ password: Password }, { ...closed, description: 'Your password.' }),
)

export const PasswordChange = component(
  'PasswordChange',
  Type.Object(
    { current_password: Password, new_password: NewPassword },
    { ...closed, description: 'The password until now, and the one from now on.' },
  ),
)
export type PasswordChange = Static<typeof PasswordChange>

export const EmailChange = component(
  'EmailChange',
  Type.Object(
    { email: Email, password: Password },
    { ...closed, description: 'The new e-mail, and your password.' },
  ),
)
export type EmailChange = Static<typeof EmailChange>

export const ExportedRecord = component(
  'ExportedRecord',
  Type.Object(
    {
      type: Type.String({
        description:
          'What it is: `user`, `session`, `api_key`, `device`, `link`, `item`, `post`, `webhook`, `webhook_delivery`, `event`.',
      }),
      data: Type.Record(Type.String(), Type.Unknown()),
    },
    { description: 'Something that is held about a user.' },
  ),
)
