import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { EmailTaken, InvalidLink } from '../../../accounts/problems.ts'
import { nothing, ref } from '../../../lib/schema.ts'
import { authLimits } from '../limits.ts'
import { forgotPassword, resendVerification, resetPassword, verifyEmail } from '../links.ts'
import { ForgottenPassword, LinkToken, PasswordReset } from '../schemas.ts'

const tags = ['auth']

/** What is done by links that were mailed. */
export const linkRoutes: FastifyPluginAsyncTypebox = async app => {
  const limits = authLimits(app.accounts)

  app.post(
    '/verify-email',
    {
      config: {
        access: 'public',
        idempotency: true,
        mail: 'optional',
        problems: [InvalidLink, EmailTaken],
      },
      schema: {
        operationId: 'verifyEmail',
        summary: 'Confirm an e-mail by the token of a link',
        description: 'That of an account, or the one that it is to be changed to.',
        tags,
        body: ref(LinkToken),
        response: { 204: nothing('The e-mail is verified.') },
      },
    },
    async ({ accounts, actor, body }, reply) => {
      await verifyEmail(accounts, actor, body.token)
      return reply.code(204).send()
    },
  )

  app.post(
    '/verify-email/resend',
    {
      config: {
        access: { unverified: true },
        limits: limits.resendVerification,
        idempotency: true,
        mail: 'required',
      },
      schema: {
        operationId: 'resendVerification',
        summary: 'Send the link that verifies the e-mail once more',
        description: 'The links sent before are good no longer. If the e-mail is verified, nothing is sent.',
        tags,
        response: { 204: nothing('It is on its way.') },
      },
    },
    async ({ accounts, actor, user }, reply) => {
      await resendVerification(accounts, actor, user.id)
      return reply.code(204).send()
    },
  )

  app.post(
    '/forgot-password',
    {
      config: {
        access: 'public',
        limits: limits.forgotPassword,
        idempotency: true,
        mail: 'required',
      },
      schema: {
        operationId: 'forgotPassword',
        summary: 'Send a link that resets the password',
        description: 'The answer is the same whether or not there is such an account.',
        tags,
        body: ref(ForgottenPassword),
        response: { 202: nothing('If there is such an account, the link is on its way.') },
      },
    },
    async ({ accounts, actor, body }, reply) => {
      await forgotPassword(accounts, actor, body.email)
      return reply.code(202).send()
    },
  )

  app.post(
    '/reset-password',
    {
      config: { access: 'public', idempotency: true, mail: 'optional', problems: [InvalidLink] },
      schema: {
        operationId: 'resetPassword',
        summary: 'Choose a new password by the token of a link',
        description: 'Ends every session of the account and unlocks it.',
        tags,
        body: ref(PasswordReset),
        response: { 204: nothing('The password has been changed.') },
      },
    },
    async ({ accounts, actor, body }, reply) => {
      await resetPassword(accounts, actor, body)
      return reply.code(204).send()
    },
  )
}
