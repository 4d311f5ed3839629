import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { sortedPageLinks, sortedPageResponse } from '../../../lib/paging.ts'
import { Forbidden, InvalidCursor } from '../../../lib/problems.ts'
import { ref } from '../../../lib/schema.ts'
import { ownerAsked, READ } from '../access.ts'
import { itemStats } from '../kept.ts'
import { columnsOf, countItems, listItems } from '../queries.ts'
import { ItemListParameters, ItemPage, ItemStats, SparseItemPage, sortedItems } from '../schemas.ts'

const tags = ['items']

/** Many items, or how many. */
export const listRoutes: FastifyPluginAsyncTypebox = async app => {
  const { db } = app.database

  app.get(
    '',
    {
      config: {
        access: READ,
        problems: [InvalidCursor, Forbidden],
        documented: { response: { 200: sortedPageResponse(ItemPage, SparseItemPage) } },
      },
      schema: {
        operationId: 'listItems',
        summary: 'List your items',
        description:
          '`metadata.<key>=<value>` finds those whose metadata has that value at that key of its top level: ' +
          '`metadata.color=red`, `metadata.size=5`. Several filters have to hold together.',
        tags,
        querystring: ItemListParameters,
        response: { 200: sortedPageResponse(ItemPage) },
      },
    },
    async ({ user, query, url }, reply) => {
      const { fields } = query
      const filter = { ...query, user_id: ownerAsked(user, query.user_id) }
      const found = await listItems(db, filter, sortedItems.slice(query), columnsOf(fields))
      const page = sortedItems.page(query, found)
      reply.header('link', sortedPageLinks(url, page.pagination))
      if (fields === undefined) return page
      // The schema of the response would ask for all fields; and a cursor is made of fields that were not asked for.
      const data = page.data.map(item => pick(item, fields.split(',')))
      reply.type('application/json; charset=utf-8').serializer(JSON.stringify)
      return reply.send({ ...page, data } as never)
    },
  )

  app.get(
    '/stats',
    {
      config: { access: READ },
      schema: {
        operationId: 'getItemStats',
        summary: 'Count your items by status',
        tags,
        response: { 200: ref(ItemStats) },
      },
    },
    ({ user: { id: owner_id } }) =>
      app.cache.read({ kept: itemStats, owner_id, key: '', mayHaveWritten: true }, () =>
        countItems(db, owner_id),
      ),
  )
}

const pick = (item: Record<string, unknown>, names: string[]) =>
  Object.fromEntries(names.map(name => [name, item[name]]))
