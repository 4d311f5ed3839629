import type { FastifyRequest } from 'fastify'
import type { Accounts } from '../../accounts/accounts.ts'
import { emailHash } from '../../accounts/lockout.ts'
import { canonicalEmail } from '../../accounts/users.ts'
import type { RouteLimit } from '../../plugins/rate-limits.ts'
import { pendingUser } from './login.ts'
import { refreshCookieIn } from './refresh-cookie.ts'
import { sentRefreshToken } from './sent-refresh-token.ts'

/**
 * Whoever guesses is limited twice: by where he is, whatever accounts he tries, and by the account, wherever he is. Neither
 * tells whether there is such an account.
 */
export function authLimits(accounts: Accounts) {
  const session = (request: FastifyRequest) => {
    if (request.user) return request.user.session_id ?? undefined
    const token = sentRefreshToken(request) ?? refreshCookieIn(request)
    return token && accounts.refreshTokens.read(token)?.session_id
  }
  const pending = ({ body }: FastifyRequest) => {
    const { mfa_token } = Object(body)
    return typeof mfa_token === 'string' ? pendingUser(accounts, mfa_token) : undefined
  }

  return {
    register: [{ name: 'register', rates: '5/minute', by: 'address' }],
    login: [
      { name: 'login', rates: '10/minute', by: 'address' },
      { name: 'login-account', rates: '10/minute', byBody: emailIn },
    ],
    verifyMfa: [
      { name: 'verify-mfa', rates: '10/minute', by: 'address' },
      { name: 'verify-mfa-account', rates: '10/minute', byBody: pending },
    ],
    forgotPassword: [
      { name: 'forgot-password', rates: '5/hour', by: 'address' },
      { name: 'forgot-password-account', rates: '5/hour', byBody: emailIn },
    ],
    // Hardly by address: of the many who share one, each has to refresh once an hour, and to be able to leave.
    refresh: [
      { name: 'refresh-address', rates: '600/minute', by: 'address' },
      { name: 'refresh', rates: '60/minute', byBody: session },
    ],
    logout: [
      { name: 'logout-address', rates: '600/minute', by: 'address' },
      { name: 'logout', rates: '60/minute', byBody: session },
    ],
    // Each sends a mail.
    resendVerification: ['tier', { name: 'resend-verification', rates: '5/hour', by: 'caller' }],
    // Each key has a quota of its own.
    createApiKey: ['tier', { name: 'create-api-key', rates: '30/hour', by: 'caller' }],
  } satisfies Record<string, readonly RouteLimit[]>
}

/** As a hash, because it may be kept in Redis. */
function emailIn({ body }: FastifyRequest): string | undefined {
  const { email } = Object(body)
  return typeof email === 'string' ? emailHash(canonicalEmail(email)).toString('base64url') : undefined
}
