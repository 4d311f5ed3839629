import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { sortedPageLinks, sortedPageResponse } from '../../../lib/paging.ts'
import { InvalidCursor } from '../../../lib/problems.ts'
import { AuthorsPostParameters, listPosts, PostPage } from '../../posts/public.ts'
import { UserParameters } from '../schemas.ts'
import { demandUser } from '../service.ts'

/** What users have written. */
export const postRoutes: FastifyPluginAsyncTypebox = async app => {
  const { db } = app.database

  app.get(
    '/:id/posts',
    {
      config: { access: 'public', problems: [InvalidCursor] },
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
    async ({ params, query, url }, reply) => {
      const page = await listPosts(db, { ...query, author_id: params.id })
      // Whoever has written something is there.
      if (page.data.length === 0) await demandUser(db, params.id)
      return reply.header('link', sortedPageLinks(url, page.pagination)).send(page)
    },
  )
}
