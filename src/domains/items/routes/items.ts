import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { nothing, ref, withHeaders } from '../../../lib/schema.ts'
import { ownerFor, READ, WRITE } from '../access.ts'
import { Item, ItemChanges, ItemParameters, NewItem } from '../schemas.ts'
import { createItem, deleteItem, updateItem, viewItem } from '../service.ts'

const tags = ['items']

/** One item. */
export const itemRoutes: FastifyPluginAsyncTypebox = async app => {
  app.post(
    '',
    {
      config: { access: WRITE, idempotency: true, versioned: 'answer' },
      schema: {
        operationId: 'createItem',
        summary: 'Create an item',
        tags,
        body: ref(NewItem),
        response: { 201: withHeaders(ref(Item), { Location: 'Where the item is.' }) },
      },
    },
    async ({ db, actor, user, body }, reply) => {
      const item = await createItem(db, actor, user.id, body)
      return reply.code(201).header('location', `/api/v1/items/${item.id}`).send(item)
    },
  )

  app.get(
    '/:id',
    {
      config: { access: READ, versioned: true },
      schema: {
        operationId: 'getItem',
        summary: 'Read an item',
        tags,
        params: ItemParameters,
        response: { 200: ref(Item) },
      },
    },
    ({ db, user, params }) => viewItem(db, params.id, ownerFor(user)),
  )

  for (const [method, operationId] of [
    ['PATCH', 'updateItem'],
    ['PUT', 'putItem'],
  ] as const) {
    app.route({
      method,
      url: '/:id',
      config: { access: WRITE, versioned: true },
      schema: {
        operationId,
        summary: 'Change an item',
        description: 'What is left out stays as it is.',
        tags,
        params: ItemParameters,
        body: ref(ItemChanges),
        response: { 200: ref(Item) },
      },
      handler: ({ db, actor, user, params, body, precondition }) =>
        updateItem(db, actor, { ...params, owner_id: ownerFor(user), precondition }, body),
    })
  }

  app.delete(
    '/:id',
    {
      config: { access: WRITE, versioned: true },
      schema: {
        operationId: 'deleteItem',
        summary: 'Delete an item',
        description: 'For good after PURGE_AFTER_DAYS; until then it can be restored.',
        tags,
        params: ItemParameters,
        response: { 204: nothing('The item is deleted.') },
      },
    },
    async ({ db, actor, user, params, precondition }, reply) => {
      await deleteItem(db, actor, { ...params, owner_id: ownerFor(user), precondition })
      return reply.code(204).send()
    },
  )
}
