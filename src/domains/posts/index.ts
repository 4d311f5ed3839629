import { sortedPageResponse } from '../../lib/paging.ts'
import { Forbidden, InvalidCursor } from '../../lib/problems.ts'
import { nothing, ref, withHeaders } from '../../lib/schema.ts'
import { answerKept } from '../../plugins/kept-answers.ts'
import type { Domain } from '../domain.ts'
import { authorFor, WRITE } from './access.ts'
import { pageKey, publicPosts } from './kept.ts'
import {
  MOST_BYTES,
  NewPost,
  Post,
  PostChanges,
  PostListParameters,
  PostPage,
  PostParameters,
} from './schemas.ts'
import { createPost, deletePost, listPosts, updatePost, viewPost } from './service.ts'

const tags = ['posts']
const bodyLimit = MOST_BYTES

const embedded = ({ author }: Post) => author.full_name

const WHOSE =
  'Your own, or anybody’s if you are an editor or administrator. An API key of an administrator is that of a user.'

export default {
  prefix: '/api/v1/posts',
  tag: { name: 'posts', description: 'What users tell everybody.' },
  routes: async app => {
    const { db } = app.database

    app.get(
      '',
      {
        config: { access: 'optional', badToken: 'ignored', problems: [InvalidCursor] },
        schema: {
          operationId: 'listPosts',
          summary: 'List posts',
          description:
            'Of everybody, newest first. Each is there with its whole content, so ask for few at a time where they ' +
            'may be long.',
          tags,
          querystring: PostListParameters,
          response: { 200: sortedPageResponse(PostPage) },
        },
      },
      (request, reply) =>
        answerKept(request, reply, {
          kept: publicPosts,
          key: pageKey(request.query),
          make: () => listPosts(db, request.query),
        }),
    )

    app.post(
      '',
      {
        bodyLimit,
        config: { access: WRITE, idempotency: true, versioned: 'answer', embedded },
        schema: {
          operationId: 'createPost',
          summary: 'Write a post',
          description: 'Everybody can read it, with your full name.',
          tags,
          body: ref(NewPost),
          response: { 201: withHeaders(ref(Post), { Location: 'Where the post is.' }) },
        },
      },
      async ({ db, actor, user, body }, reply) => {
        const post = await createPost(db, actor, user.id, body)
        return reply.code(201).header('location', `/api/v1/posts/${post.id}`).send(post)
      },
    )

    app.get(
      '/:id',
      {
        config: { access: 'optional', badToken: 'ignored', versioned: true, embedded },
        schema: {
          operationId: 'getPost',
          summary: 'Read a post',
          tags,
          params: PostParameters,
          response: { 200: ref(Post) },
        },
      },
      (request, reply) =>
        answerKept(request, reply, {
          kept: publicPosts,
          key: request.params.id.toLowerCase(),
          make: () => viewPost(db, request.params.id),
        }),
    )

    for (const [method, operationId] of [
      ['PATCH', 'updatePost'],
      ['PUT', 'putPost'],
    ] as const) {
      app.route({
        method,
        url: '/:id',
        bodyLimit,
        config: { access: WRITE, versioned: true, embedded, problems: [Forbidden] },
        schema: {
          operationId,
          summary: 'Change a post',
          description: `${WHOSE} What is left out stays as it is.`,
          tags,
          params: PostParameters,
          body: ref(PostChanges),
          response: { 200: ref(Post) },
        },
        handler: ({ db, actor, user, params, body, precondition }) =>
          updatePost(db, actor, { ...params, owner_id: authorFor(user), precondition }, body),
      })
    }

    app.delete(
      '/:id',
      {
        config: { access: WRITE, versioned: true, embedded, problems: [Forbidden] },
        schema: {
          operationId: 'deletePost',
          summary: 'Delete a post',
          description: WHOSE,
          tags,
          params: PostParameters,
          response: { 204: nothing('The post is deleted.') },
        },
      },
      async ({ db, actor, user, params, precondition }, reply) => {
        await deletePost(db, actor, { ...params, owner_id: authorFor(user), precondition })
        return reply.code(204).send()
      },
    )
  },
} satisfies Domain
