import { type Static, Type } from '@sinclair/typebox'
import { component, Id, OneOf, ref } from '../../lib/schema.ts'
import { Item } from './schemas.ts'

const closed = { additionalProperties: false }

/** `data` is checked for each operation by itself: a wrong one is not the fault of the others. */
const BatchOperation = component(
  'ItemBatchOperation',
  Type.Object(
    {
      op: OneOf(['create', 'update', 'delete']),
      id: Type.Optional({ ...Id, description: 'Of what is updated or deleted.' }),
      version: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 2 ** 31 - 1,
          description: 'Only if it has this version, as `If-Match` would say.',
        }),
      ),
      data: Type.Optional(
        Type.Record(Type.String(), Type.Unknown(), {
          description: 'To create: as `NewItem`. To update: as `ItemChanges`.',
        }),
      ),
    },
    closed,
  ),
)
export type BatchOperation = Static<typeof BatchOperation>

export const ItemBatch = component(
  'ItemBatch',
  Type.Object(
    {
      operations: Type.Array(ref(BatchOperation), { minItems: 1, maxItems: 1000 }),
      atomic: Type.Optional(
        Type.Boolean({
          default: true,
          description: 'Whether nothing is done unless everything can be done.',
        }),
      ),
    },
    { ...closed, description: 'Things to do, one after the other.' },
  ),
)
export type ItemBatch = Static<typeof ItemBatch>

const BatchResult = component(
  'ItemBatchResult',
  Type.Object({
    index: Type.Integer({ minimum: 0, description: 'Of the operation.' }),
    status: Type.Integer({ description: 'What the operation alone would have been answered with.' }),
    item: Type.Optional(ref(Item)),
    error: Type.Optional(
      Type.Object(
        {
          code: Type.String(),
          detail: Type.String(),
          errors: Type.Optional(
            Type.Array(
              Type.Object({
                in: Type.String(),
                pointer: Type.String(),
                code: Type.String(),
                message: Type.String(),
              }),
            ),
          ),
        },
        { description: 'As in a problem; the pointers lead into the operation.' },
      ),
    ),
  }),
)
export type BatchResult = Static<typeof BatchResult>

export const ItemBatchResults = component(
  'ItemBatchResults',
  Type.Object(
    {
      results: Type.Array(ref(BatchResult)),
      succeeded: Type.Integer({ minimum: 0 }),
      failed: Type.Integer({ minimum: 0 }),
    },
    { description: 'What came of each operation, in their order.' },
  ),
)
export type ItemBatchResults = Static<typeof ItemBatchResults>
