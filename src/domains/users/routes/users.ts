import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { EmailTaken, LastAdmin, RegistrationClosed } from '../../../accounts/problems.ts'
import { User } from '../../../accounts/schemas.ts'
import { type Access, ADMINS, isAdmin } from '../../../lib/access.ts'
import { sortedPageLinks, sortedPageResponse } from '../../../lib/paging.ts'
import { EmailUnverified, Forbidden, InvalidCursor } from '../../../lib/problems.ts'
import { nothing, ref, withHeaders } from '../../../lib/schema.ts'
import { listUsers } from '../queries.ts'
import {
  NewUser,
  sortedUsers,
  UserChanges,
  UserListParameters,
  UserPage,
  UserParameters,
} from '../schemas.ts'
import { addUser, bringBackUser, editUser, removeUser, viewUser } from '../service.ts'

const tags = ['users']

/** Oneself as at `/users/me`: also before the e-mail is verified. */
const ADMINS_AND_SELF = { roles: ['admin'], self: true, unverified: 'self' } as const satisfies Access

/** What administrators see besides, which changes without a version. */
const embedded = ({ last_login_at, deleted_at }: User) =>
  last_login_at === undefined ? undefined : JSON.stringify([last_login_at, deleted_at])

export const userRoutes: FastifyPluginAsyncTypebox = async app => {
  const { accounts } = app
  const { db } = accounts.database

  app.get(
    '',
    {
      config: { access: ADMINS, problems: [InvalidCursor] },
      schema: {
        operationId: 'listUsers',
        summary: 'List users',
        tags,
        querystring: UserListParameters,
        response: { 200: sortedPageResponse(UserPage) },
      },
    },
    async ({ query, url }, reply) => {
      const found = await listUsers(db, query, sortedUsers.slice(query))
      const page = sortedUsers.page(query, found)
      return reply.header('link', sortedPageLinks(url, page.pagination)).send(page)
    },
  )

  app.post(
    '',
    {
      config: {
        access: 'optional',
        // An administrator is counted for himself; else a user would have as many as he has API keys.
        limits: [
          {
            name: 'create-user',
            rates: '5/minute',
            by: ({ user }) => (isAdmin(user) ? user?.id : undefined),
          },
        ],
        idempotency: true,
        versioned: 'answer',
        mail: 'optional',
        problems: [EmailTaken, RegistrationClosed, Forbidden],
      },
      schema: {
        operationId: 'createUser',
        summary: 'Create an account',
        description:
          'Anybody may, while registration is open; administrators always, and they may set `role`, `is_active` ' +
          'and `tier`. To sign in with it at once, use `POST /auth/register`.',
        tags,
        body: ref(NewUser),
        response: { 201: withHeaders(ref(User), { Location: 'Where the user is.' }) },
      },
    },
    async ({ accounts, actor, user: caller, body }, reply) => {
      const user = await addUser(accounts, actor, caller, body)
      return reply.code(201).header('location', `/api/v1/users/${user.id}`).send(user)
    },
  )

  app.get(
    '/:id',
    {
      config: {
        access: { ...ADMINS_AND_SELF, scope: 'profile:read' },
        versioned: true,
        embedded,
        problems: [EmailUnverified],
      },
      schema: {
        operationId: 'getUser',
        summary: 'Read a user',
        description: 'Administrators also see those that are deleted.',
        tags,
        params: UserParameters,
        response: { 200: ref(User) },
      },
    },
    ({ user: caller, params }) => viewUser(db, caller, params.id),
  )

  for (const [method, operationId] of [
    ['PATCH', 'updateUser'],
    ['PUT', 'putUser'],
  ] as const) {
    app.route({
      method,
      url: '/:id',
      config: {
        access: ADMINS_AND_SELF,
        versioned: true,
        embedded,
        mail: 'optional',
        problems: [EmailUnverified, EmailTaken, LastAdmin],
      },
      schema: {
        operationId,
        summary: 'Change a user',
        description:
          'Users may change their own names, administrators everything. An e-mail that an administrator sets is ' +
          'not verified: the new address is sent a link, the old one a notice.',
        tags,
        params: UserParameters,
        body: ref(UserChanges),
        response: { 200: ref(User) },
      },
      handler: ({ actor, user: caller, params, body, precondition }) =>
        editUser(accounts, actor, caller, params.id, body, precondition),
    })
  }

  app.delete(
    '/:id',
    {
      config: { access: ADMINS, versioned: true, problems: [LastAdmin] },
      schema: {
        operationId: 'deleteUser',
        summary: 'Delete a user',
        description:
          'With all that is theirs, for good after PURGE_AFTER_DAYS; until then they can be restored.',
        tags,
        params: UserParameters,
        response: { 204: nothing('The user is deleted.') },
      },
    },
    async ({ actor, params, precondition }, reply) => {
      await removeUser(accounts, actor, params.id, precondition)
      return reply.code(204).send()
    },
  )

  app.post(
    '/:id/restore',
    {
      config: { access: ADMINS, idempotency: true, versioned: 'optional', problems: [EmailTaken] },
      schema: {
        operationId: 'restoreUser',
        summary: 'Bring a deleted user back',
        description: 'Unless somebody else has registered the e-mail since.',
        tags,
        params: UserParameters,
        response: { 200: ref(User) },
      },
    },
    ({ accounts, actor, params, precondition }) => bringBackUser(accounts, actor, params.id, precondition),
  )
}
