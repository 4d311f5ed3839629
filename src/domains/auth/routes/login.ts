import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import {
  AccountDisabled,
  AccountLocked,
  CsrfFailed,
  EmailTaken,
  InvalidCredentials,
  MfaInvalid,
  RefreshTokenReused,
  RegistrationClosed,
} from '../../../accounts/problems.ts'
import { endSession, refreshSession } from '../../../accounts/sessions.ts'
import type { Config } from '../../../config.ts'
import { Unauthenticated } from '../../../lib/problems.ts'
import { nothing, ref, withHeaders } from '../../../lib/schema.ts'
import { tokenPair } from '../answers.ts'
import { authLimits } from '../limits.ts'
import { completeSignIn, signIn } from '../login.ts'
import { clearRefreshCookie, readRefreshCookie, refreshCookieIn } from '../refresh-cookie.ts'
import { register } from '../registration.ts'
import {
  Credentials,
  MfaCode,
  MfaRequired,
  RefreshRequest,
  Registration,
  SignedIn,
  TokenPair,
} from '../schemas.ts'
import { sentRefreshToken } from '../sent-refresh-token.ts'

const tags = ['auth']

const setsCookie = { 'Set-Cookie': 'The refresh token, where `cookie` asks for that.' }

/** The ways into a session, from one token to the next, and out. */
export const loginRoutes: FastifyPluginAsyncTypebox = async app => {
  const { CORS_ORIGINS } = app.accounts.config
  const limits = authLimits(app.accounts)

  app.post(
    '/register',
    {
      config: {
        access: 'public',
        limits: limits.register,
        secret: true,
        idempotency: true,
        mail: 'optional',
        problems: [EmailTaken, RegistrationClosed],
      },
      schema: {
        operationId: 'register',
        summary: 'Create an account and sign in',
        description: 'Unless registration is closed. A link that verifies the e-mail is mailed.',
        tags,
        body: ref(Registration),
        response: { 201: withHeaders(ref(SignedIn), setsCookie) },
      },
    },
    async ({ accounts, actor, body: { cookie, ...fields } }, reply) => {
      const opened = await register(accounts, actor, fields)
      return reply.code(201).send({ ...tokenPair(app, reply, opened, cookie), user: opened.user })
    },
  )

  app.post(
    '/login',
    {
      config: {
        access: 'public',
        limits: limits.login,
        secret: true,
        idempotency: true,
        mail: 'optional',
        problems: [InvalidCredentials, AccountDisabled, AccountLocked],
      },
      schema: {
        operationId: 'login',
        summary: 'Sign in by e-mail and password',
        description: 'An account with MFA is asked for a code next: `POST /auth/mfa/verify`.',
        tags,
        body: ref(Credentials),
        response: { 200: withHeaders(Type.Union([ref(SignedIn), ref(MfaRequired)]), setsCookie) },
      },
    },
    async ({ accounts, actor, body }, reply) => {
      const result = await signIn(accounts, actor, body)
      if ('mfa_required' in result) return reply.send(result)
      return reply.send({ ...tokenPair(app, reply, result, body.cookie), user: result.user })
    },
  )

  app.post(
    '/mfa/verify',
    {
      config: {
        access: 'public',
        limits: limits.verifyMfa,
        secret: true,
        idempotency: true,
        mail: 'optional',
        problems: [MfaInvalid, AccountLocked, InvalidCredentials],
      },
      schema: {
        operationId: 'verifyMfa',
        summary: 'Complete a sign-in by a code',
        description:
          'With the `mfa_token` that `POST /auth/login` answered. A recovery code is good once. ' +
          'Without `cookie`, what the login said of it counts.',
        tags,
        body: ref(MfaCode),
        response: { 200: withHeaders(ref(SignedIn), setsCookie) },
      },
    },
    async ({ accounts, actor, body }, reply) => {
      const { opened, cookie } = await completeSignIn(accounts, actor, body)
      return { ...tokenPair(app, reply, opened, body.cookie ?? cookie), user: opened.user }
    },
  )

  app.post(
    '/refresh',
    {
      config: {
        access: 'public',
        limits: limits.refresh,
        secret: true,
        body: 'optional',
        // Requests of several users may differ in nothing but a header.
        idempotency: { caller: request => refreshTokenOf(request, CORS_ORIGINS) },
        problems: [Unauthenticated, RefreshTokenReused, CsrfFailed],
      },
      schema: {
        operationId: 'refresh',
        summary: 'Exchange a refresh token for a new pair of tokens',
        description:
          'The token before the newest is accepted for another 30 seconds, for answers that were lost. ' +
          'An older one ends the session. An access token or API key that is sent along is not looked at.',
        tags,
        // The token may also stand in the body.
        security: [{}, { refreshToken: [] }, { refreshCookie: [] }],
        body: ref(RefreshRequest),
        response: {
          200: withHeaders(ref(TokenPair), {
            'Set-Cookie': 'The new refresh token, if the old one came so.',
          }),
        },
      },
    },
    async (request, reply) => {
      const token = refreshTokenOf(request, CORS_ORIGINS)
      if (token === undefined) throw new Unauthenticated('A refresh token is needed.')
      const opened = await refreshSession(request.accounts, request.actor, token)
      return tokenPair(app, reply, opened, sentRefreshToken(request) === undefined)
    },
  )

  app.post(
    '/logout',
    {
      config: {
        access: 'optional',
        limits: limits.logout,
        secret: true,
        badToken: 'ignored',
        // Afterwards, nobody can tell any more whose the token was; and where it was none, the cookie counts.
        idempotency: {
          caller: request => `${request.headers.authorization} ${refreshCookieIn(request)}`,
        },
        problems: [Unauthenticated, CsrfFailed],
      },
      schema: {
        operationId: 'logout',
        summary: 'End this session',
        description:
          'By the access token or, where there is none or its life is over, by the refresh cookie. ' +
          'An API key is not looked at.',
        tags,
        security: [{ accessToken: [] }, { refreshCookie: [] }],
        response: {
          204: withHeaders(nothing('The session is over.'), { 'Set-Cookie': 'Removes the refresh cookie.' }),
        },
      },
    },
    async (request, reply) => {
      const { accounts, user, actor } = request
      const token = user?.session_id ? undefined : readRefreshCookie(request, CORS_ORIGINS)
      const session = token === undefined ? user : accounts.refreshTokens.read(token)
      await endSession(accounts, actor, session ?? undefined)
      clearRefreshCookie(reply)
      return reply.code(204).send()
    },
  )
}

const refreshTokenOf = (request: FastifyRequest, origins: Config['CORS_ORIGINS']): string | undefined =>
  sentRefreshToken(request) ?? readRefreshCookie(request, origins)
