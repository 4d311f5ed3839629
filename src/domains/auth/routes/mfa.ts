import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AccountLocked, InvalidCredentials, MfaInvalid } from '../../../accounts/problems.ts'
import { Conflict } from '../../../lib/problems.ts'
import { nothing, ref } from '../../../lib/schema.ts'
import { confirmTotp, disableMfa, enrolTotp, replaceRecoveryCodes } from '../mfa.ts'
import { RecoveryCodes, TotpCode, TotpEnrolment } from '../mfa-schemas.ts'
import { PasswordConfirmation } from '../schemas.ts'

const tags = ['auth']
const access = { unverified: true } as const
const passwordProblems = [InvalidCredentials, AccountLocked, Conflict]

/** Turning on and off that a sign-in takes a code as well. */
export const mfaRoutes: FastifyPluginAsyncTypebox = async app => {
  app.post(
    '/mfa/totp',
    {
      config: { access, secret: true, idempotency: true, problems: [Conflict] },
      schema: {
        operationId: 'enrolTotp',
        summary: 'Ask for a secret for an authenticator',
        description:
          'Nothing is asked of you at sign-in until `POST /auth/mfa/totp/confirm` has shown that it arrived. ' +
          'Asking again replaces the secret.',
        tags,
        response: { 200: ref(TotpEnrolment) },
      },
    },
    ({ accounts, user }) => enrolTotp(accounts, user.id),
  )

  app.post(
    '/mfa/totp/confirm',
    {
      config: { access, secret: true, idempotency: true, mail: 'optional', problems: [MfaInvalid, Conflict] },
      schema: {
        operationId: 'confirmTotp',
        summary: 'Enable MFA by the first code of the authenticator',
        description: 'From now on, signing in takes a code as well. Other sessions go on.',
        tags,
        body: ref(TotpCode),
        response: { 200: ref(RecoveryCodes) },
      },
    },
    async ({ accounts, actor, user, body }) => ({
      recovery_codes: await confirmTotp(accounts, actor, user.id, body.code),
    }),
  )

  app.delete(
    '/mfa/totp',
    {
      config: { access, mail: 'optional', problems: passwordProblems },
      schema: {
        operationId: 'disableMfa',
        summary: 'Disable MFA',
        description: 'The secret and the recovery codes are good for nothing any more.',
        tags,
        body: ref(PasswordConfirmation),
        response: { 204: nothing('From now on, the password is enough to sign in.') },
      },
    },
    async ({ accounts, actor, user, body }, reply) => {
      await disableMfa(accounts, actor, user.id, body.password)
      return reply.code(204).send()
    },
  )

  app.post(
    '/mfa/recovery-codes',
    {
      config: { access, secret: true, idempotency: true, mail: 'optional', problems: passwordProblems },
      schema: {
        operationId: 'replaceRecoveryCodes',
        summary: 'Replace the recovery codes by ten new ones',
        tags,
        body: ref(PasswordConfirmation),
        response: { 200: ref(RecoveryCodes) },
      },
    },
    async ({ accounts, actor, user, body }) => ({
      recovery_codes: await replaceRecoveryCodes(accounts, actor, user.id, body.password),
    }),
  )
}
