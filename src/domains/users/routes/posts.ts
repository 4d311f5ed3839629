import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { sortedPageResponse } from '../../../lib/paging.ts'
import { InvalidCursor } from '../../../lib/problems.ts'
import { answerKept } from '../../../plugins/kept-answers.ts'
import { AuthorsPostParameters, listPosts, PostPage, pageKey, publicPosts } from '../../posts/public.ts'
import { UserParameters } from '../schemas.ts'
import { demandUser } from '../service.ts'

/** What users have written. */
export const postRoutes: FastifyPluginAsyncTypebox = async app => {
  const { db } = app.database

  app.get(
    '/:id/posts',
    {
      config: { access: 'optional', badToken: 'ignored', problems: [InvalidCursor] },
      schema: {
        operationId: 'listUserPosts',
        summary: 'List the posts of a user',
        description: 'As `GET /posts` does with `author_id`, but 404 if there is no such user.',
        tags: ['users', 'posts'],
        params: UserParameters,
        querystring: AuthorsPostParameters,
        response: { 200: sortedPageResponse(PostPage) },
      },
    },
    (request, reply) => {
      const asked = { ...request.query, author_id: request.params.id }
      return answerKept(request, reply, {
        kept: publicPosts,
        key: pageKey(asked),
        async make() {
          const page = await listPosts(db, asked)
          // Whoever has written something is there.
          if (page.data.length === 0) await demandUser(db, asked.author_id)
          return page
        },
      })
    },
  )
}
