import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ref } from '../../../lib/schema.ts'
import { ownerFor, WRITE } from '../access.ts'
import { Item, ItemParameters } from '../schemas.ts'
import { archiveItem, publishItem, restoreItem } from '../service.ts'

const tags = ['items']

const moves = [
  {
    verb: 'publish',
    operationId: 'publishItem',
    summary: 'Publish an item',
    description: 'Of one that is published already, nothing changes.',
    versioned: true,
    move: publishItem,
  },
  {
    verb: 'archive',
    operationId: 'archiveItem',
    summary: 'Archive an item',
    description: 'Of one that is archived already, nothing changes.',
    versioned: true,
    move: archiveItem,
  },
  {
    verb: 'restore',
    operationId: 'restoreItem',
    summary: 'Bring back an item that was deleted or archived',
    description:
      'What was deleted has the status that it had, but what was archived is a draft. Of any other, nothing changes.',
    // Nobody can read the version of what is deleted.
    versioned: 'optional',
    move: restoreItem,
  },
] as const

/** From one status to another. */
export const stateRoutes: FastifyPluginAsyncTypebox = async app => {
  for (const { verb, operationId, summary, description, versioned, move } of moves) {
    app.post(
      `/:id/${verb}`,
      {
        config: { access: WRITE, idempotency: true, versioned },
        schema: {
          operationId,
          summary,
          description,
          tags,
          params: ItemParameters,
          response: { 200: ref(Item) },
        },
      },
      ({ db, actor, user, params, precondition }) =>
        move(db, actor, { ...params, owner_id: ownerFor(user), precondition }),
    )
  }
}
