import { onConstraint } from '../db/errors.ts'
import { defineProblem } from '../lib/problem.ts'

export const EmailTaken = defineProblem({
  code: 'email_taken',
  status: 409,
  title: 'E-mail taken',
  explanation: 'There is an account with this e-mail already.',
  remedy: 'Sign in, reset the password, or use another address.',
})

onConstraint('users_email_key', EmailTaken, 'There is an account with this e-mail already.')

export const InvalidCredentials = defineProblem({
  code: 'invalid_credentials',
  status: 401,
  title: 'Invalid credentials',
  explanation: 'The e-mail is not known, or the password is not the right one. Which of the two is not told.',
  remedy: 'Check both, or reset the password.',
})

export const AccountDisabled = defineProblem({
  code: 'account_disabled',
  status: 401,
  title: 'Account disabled',
  explanation: 'The password is right, but the account has been deactivated.',
  remedy: 'Ask an administrator of the service to activate it.',
})

export const AccountLocked = defineProblem({
  code: 'account_locked',
  status: 429,
  title: 'Account locked',
  explanation: 'Too many wrong passwords or codes: for a while, none is accepted for this e-mail.',
  remedy: 'Wait for the seconds in `Retry-After`, or reset the password, which unlocks the account.',
})

export const MfaInvalid = defineProblem({
  code: 'mfa_invalid',
  status: 401,
  title: 'Invalid code',
  explanation: 'The code is wrong, used up, or too old; or the sign-in that it belongs to is.',
  remedy: 'Use the code that the authenticator shows now, or a recovery code; if in doubt, sign in again.',
})

export const RefreshTokenReused = defineProblem({
  code: 'refresh_token_reused',
  status: 401,
  title: 'Refresh token reused',
  explanation:
    'This refresh token was replaced by a newer one, so two parties hold tokens of the session. The session was ended.',
  remedy: 'Sign in again.',
})

export const InvalidLink = defineProblem({
  code: 'invalid_link',
  status: 401,
  title: 'Invalid link',
  explanation: 'The token of the link is wrong, has been used, has expired, or was replaced by a newer one.',
  remedy: 'Ask for a new link.',
})

export const RegistrationClosed = defineProblem({
  code: 'registration_closed',
  status: 403,
  title: 'Registration closed',
  explanation: 'This service takes no new accounts, except by an administrator.',
  remedy: 'Ask an administrator for an account.',
})

export const CsrfFailed = defineProblem({
  code: 'csrf_failed',
  status: 403,
  title: 'Origin refused',
  explanation: 'The request is authenticated by a cookie, and does not come from a page that may use it.',
  remedy: 'Send it from an allowed origin (CORS_ORIGINS), with the `Origin` header that browsers set.',
})

export const LastAdmin = defineProblem({
  code: 'last_admin',
  status: 409,
  title: 'Last administrator',
  explanation: 'Without this user, the service would have no active administrator.',
  remedy: 'Make somebody else an administrator first.',
})
