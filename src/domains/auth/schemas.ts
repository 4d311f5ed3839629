import { type Static, Type } from '@sinclair/typebox'
import { Email, NewPassword, NewUserFields, Password, User } from '../../accounts/schemas.ts'
import { KeysetPage, keysetParameters } from '../../lib/keyset.ts'
import { component, Id, Nullable, OneOf, ref, Timestamp } from '../../lib/schema.ts'

const closed = { additionalProperties: false }

/** More than any token of ours has, and little enough not to matter. */
const Token = Type.String({ minLength: 1, maxLength: 1_000 })

const cookie = {
  cookie: Type.Optional(
    Type.Boolean({
      description:
        'Whether to put the refresh token into an HttpOnly cookie for `/api/v1/auth` instead of the answer.',
    }),
  ),
}

export const TokenPair = component(
  'TokenPair',
  Type.Object(
    {
      access_token: Type.String({ description: 'Sent as `Authorization: Bearer …`.' }),
      refresh_token: Type.Optional(
        Type.String({ description: 'For `POST /auth/refresh`. Absent where it is in the cookie.' }),
      ),
      token_type: OneOf(['Bearer']),
      expires_in: Type.Integer({ description: 'Seconds until the access token expires.' }),
      refresh_expires_in: Type.Integer({ description: 'Seconds until the refresh token expires.' }),
    },
    { description: 'What a session is used with.' },
  ),
)
export type TokenPair = Static<typeof TokenPair>

export const SignedIn = component(
  'SignedIn',
  Type.Object(
    { ...TokenPair.properties, user: ref(User) },
    { description: 'A new session and whose it is.' },
  ),
)

export const MfaRequired = component(
  'MfaRequired',
  Type.Object(
    {
      mfa_required: Type.Unsafe<true>({ type: 'boolean', enum: [true] }),
      mfa_token: Type.String({ description: 'For `POST /auth/mfa/verify`, within five minutes.' }),
      methods: Type.Array(OneOf(['totp', 'recovery_code']), { description: 'What the code may be.' }),
    },
    { description: 'The password is right, and a code is wanted as well.' },
  ),
)

export const Registration = component(
  'Registration',
  Type.Object({ ...NewUserFields, ...cookie }, { ...closed, description: 'Somebody new.' }),
)

export const Credentials = component(
  'Credentials',
  Type.Object(
    { email: Email, password: Password, ...cookie },
    { ...closed, description: 'Who signs in, and the proof.' },
  ),
)

export const MfaCode = component(
  'MfaCode',
  Type.Object(
    {
      mfa_token: Token,
      code: Type.String({
        minLength: 1,
        maxLength: 50,
        description: 'Six digits of the authenticator, or a recovery code.',
      }),
      ...cookie,
    },
    { ...closed, description: 'The second step of a sign-in.' },
  ),
)

export const RefreshRequest = component(
  'RefreshRequest',
  Type.Object(
    { refresh_token: Type.Optional(Token) },
    {
      ...closed,
      description: 'Without it, the token is taken from `Authorization: Bearer …` or the cookie.',
    },
  ),
)

export const LinkToken = component(
  'LinkToken',
  Type.Object({ token: Token }, { ...closed, description: 'What the link in the mail held.' }),
)

export const ForgottenPassword = component(
  'ForgottenPassword',
  Type.Object({ email: Email }, { ...closed, description: 'Whose password it is.' }),
)

export const PasswordReset = component(
  'PasswordReset',
  Type.Object(
    { token: Token, password: NewPassword, password_confirm: NewUserFields.password_confirm },
    { ...closed, description: 'A new password, and what the link in the mail held.' },
  ),
)

export const Session = component(
  'Session',
  Type.Object(
    {
      id: Id,
      current: Type.Boolean({ description: 'Whether it is the one that asks.' }),
      ip: Nullable(Type.String(), { description: 'Where it was last refreshed from.' }),
      user_agent: Nullable(Type.String()),
      created_at: Timestamp,
      last_used_at: Timestamp,
      expires_at: Timestamp,
    },
    { description: 'A device or program that somebody is signed in with.' },
  ),
)

export const SessionPage = component('SessionPage', KeysetPage(Session))
export const SessionListParameters = Type.Object(keysetParameters)
export const SessionParameters = Type.Object({ id: Id })

/** A body that only confirms who is there. */
export const PasswordConfirmation = component(
  'PasswordConfirmation',
  Type.Object(
    { password: Password },
    { ...closed, description: 'Your password, because who sits at the screen may be somebody else.' },
  ),
)
