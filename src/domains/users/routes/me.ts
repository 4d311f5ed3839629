import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { AccountLocked, EmailTaken, InvalidCredentials, LastAdmin } from '../../../accounts/problems.ts'
import { User } from '../../../accounts/schemas.ts'
import { keysetPage, keysetParameters, pageLinks, pageResponse, readCursor } from '../../../lib/keyset.ts'
import { InvalidCursor } from '../../../lib/problems.ts'
import { isUuid, nothing, ref, savedAs, withHeaders } from '../../../lib/schema.ts'
import { EventPage, listOwnEvents } from '../../audit/public.ts'
import { exportUser } from '../export.ts'
import { changePassword, deactivate, requestEmailChange } from '../own-account.ts'
import { Deactivation, EmailChange, ExportedRecord, PasswordChange, ProfileChanges } from '../schemas.ts'
import { editUser, viewUser } from '../service.ts'

const tags = ['users']
const access = { unverified: true } as const

/** What a wrong password leads to. */
const byPassword = [InvalidCredentials, AccountLocked]

export const meRoutes: FastifyPluginAsyncTypebox = async app => {
  const { accounts } = app
  const { db } = accounts.database

  app.get(
    '/me',
    {
      config: { access: { ...access, scope: 'profile:read' }, versioned: true },
      schema: {
        operationId: 'getMe',
        summary: 'Read your own account',
        tags,
        response: { 200: ref(User) },
      },
    },
    ({ user }) => viewUser(db, user, user.id),
  )

  for (const [method, operationId] of [
    ['PATCH', 'updateMe'],
    ['PUT', 'putMe'],
  ] as const) {
    app.route({
      method,
      url: '/me',
      config: { access, versioned: true },
      schema: {
        operationId,
        summary: 'Change your names',
        tags,
        body: ref(ProfileChanges),
        response: { 200: ref(User) },
      },
      handler: ({ actor, user, body, precondition }) =>
        editUser(accounts, actor, user, user.id, body, precondition),
    })
  }

  app.delete(
    '/me',
    {
      config: { access, versioned: true, mail: 'optional', problems: [...byPassword, LastAdmin] },
      schema: {
        operationId: 'deactivateMe',
        summary: 'Deactivate your account',
        description: 'Ends every session. An administrator can activate the account again.',
        tags,
        body: ref(Deactivation),
        response: { 204: nothing('The account is deactivated.') },
      },
    },
    async ({ actor, user, body, precondition }, reply) => {
      await deactivate(accounts, actor, user.id, body.password, precondition)
      return reply.code(204).send()
    },
  )

  app.put(
    '/me/password',
    {
      // Of the user's version, since the password has none of its own; the current one is condition enough.
      config: { access, versioned: 'optional', mail: 'optional', problems: byPassword },
      schema: {
        operationId: 'changePassword',
        summary: 'Change your password',
        description: 'Ends every other session. The new password must be another than the current one.',
        tags,
        body: ref(PasswordChange),
        response: { 204: nothing('The password is changed.') },
      },
    },
    async ({ actor, user, body, precondition }, reply) => {
      await changePassword(accounts, actor, user, body, precondition)
      return reply.code(204).send()
    },
  )

  app.put(
    '/me/email',
    {
      config: {
        access,
        // Each sends two mails.
        limits: ['tier', { name: 'change-email', rates: '10/hour', by: 'caller' }],
        versioned: 'optional',
        mail: 'required',
        problems: [...byPassword, EmailTaken],
      },
      schema: {
        operationId: 'changeEmail',
        summary: 'Ask for another e-mail',
        description:
          'A link is mailed to the new address; the e-mail changes when its token is sent to ' +
          '`POST /auth/verify-email`. The old address is told.',
        tags,
        body: ref(EmailChange),
        response: { 202: nothing('The link is on its way.') },
      },
    },
    async ({ actor, user, body, precondition }, reply) => {
      await requestEmailChange(accounts, actor, user.id, body, precondition)
      return reply.code(202).send()
    },
  )

  app.get(
    '/me/activity',
    {
      config: { access, problems: [InvalidCursor] },
      schema: {
        operationId: 'listMyActivity',
        summary: 'List what happened to what is yours, newest first',
        description: 'Of what other users did, it does not say from where.',
        tags,
        querystring: Type.Object(keysetParameters),
        response: { 200: pageResponse(EventPage) },
      },
    },
    async ({ user, query: { cursor, per_page }, url }, reply) => {
      const before = readCursor('activity', cursor, isUuid)
      const events = await listOwnEvents(db, user.id, { before, limit: per_page + 1 })
      const page = keysetPage('activity', events, per_page, ({ id }) => id)
      return reply.header('link', pageLinks(url, page.pagination)).send(page)
    },
  )

  app.get(
    '/me/export',
    {
      // HEAD would read all of it for nothing.
      exposeHeadRoute: false,
      config: { access },
      schema: {
        operationId: 'exportMe',
        summary: 'Export everything that is held about you, as lines of JSON',
        description: 'An answer that breaks off before its end is not complete: the connection is cut.',
        tags,
        response: {
          200: withHeaders(
            {
              description: 'A record on each line.',
              content: { 'application/x-ndjson': { schema: Type.Unsafe<Readable>(ref(ExportedRecord)) } },
            },
            savedAs,
          ),
        },
      },
    },
    async ({ user }, reply) =>
      reply
        .type('application/x-ndjson')
        .header('content-disposition', 'attachment; filename="account.ndjson"')
        .send(await exportUser(db, user.id)),
  )
}
