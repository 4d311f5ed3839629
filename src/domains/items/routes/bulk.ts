import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Forbidden } from '../../../lib/problems.ts'
import { ref, savedAs, withHeaders } from '../../../lib/schema.ts'
import { uploadOf } from '../../../plugins/uploads.ts'
import { checkBy } from '../../../plugins/validation.ts'
import { ownerAsked, ownerFor, READ, WRITE } from '../access.ts'
import { runBatch } from '../batch.ts'
import { ItemBatch, ItemBatchResults } from '../batch-schemas.ts'
import { exportItems } from '../export.ts'
import { importItems } from '../import.ts'
import { linesOfCsv, linesOfJson } from '../import-lines.ts'
import { ItemImport, ItemImportParameters } from '../import-schemas.ts'
import { BatchFailed } from '../problems.ts'
import { Item, ItemChanges, ItemExportParameters, NewItem } from '../schemas.ts'

const tags = ['items']

const NDJSON = 'application/x-ndjson'
const CSV = 'text/csv'

/** Of a thousand items, 8 kB each. */
const BATCH_BYTES = 8 * 1024 * 1024

const UPLOAD = {
  types: {
    [NDJSON]: 'On each line, a `NewItem`.',
    [CSV]:
      'Columns by their names in the first row, of which `title` must be one; separated by commas, quoted by `"`. ' +
      '`metadata` is JSON. An empty cell is a field that is left out.',
  },
  limit_bytes: 100 * 1024 * 1024,
}

const newItem = ref(NewItem)
const itemChanges = ref(ItemChanges)

/** Many items at once. */
export const bulkRoutes: FastifyPluginAsyncTypebox = async app => {
  const { db } = app.database
  const versionsRequired = app.accounts.config.REQUIRE_IF_MATCH

  app.post(
    '/batch',
    {
      bodyLimit: BATCH_BYTES,
      config: { access: WRITE, idempotency: true, problems: [BatchFailed] },
      schema: {
        operationId: 'batchItems',
        summary: 'Create, change and delete up to 1 000 items at once',
        description:
          'In the order in which they stand, in one transaction. Unless `atomic` is false, all of it is done or ' +
          'nothing; with `atomic: false`, what can be done is done, and `results` says what came of each. ' +
          'The body may have 8 MiB.',
        tags,
        body: ref(ItemBatch),
        response: { 200: ref(ItemBatchResults) },
      },
    },
    request => {
      const { db, actor, user, body } = request
      const batch = {
        actor,
        user_id: user.id,
        owner_id: ownerFor(user),
        versionsRequired,
        newFaults: checkBy(request, newItem, '/data').faultsIn,
        changeFaults: checkBy(request, itemChanges, '/data').faultsIn,
      }
      return runBatch(db, batch, body)
    },
  )

  app.post(
    '/import',
    {
      config: { access: WRITE, idempotency: true, upload: UPLOAD },
      schema: {
        operationId: 'importItems',
        summary: 'Create items from a file',
        description:
          'Lines that are not valid are left out and told; all others become items, together, once the file has arrived ' +
          'whole: if the connection breaks before, nothing is imported. `id`, `user_id`, `version`, `created_at` and ' +
          '`updated_at` are made anew, so that what was exported can be imported. It is one event, `item.imported`.',
        tags,
        querystring: ItemImportParameters,
        response: { 200: ref(ItemImport) },
      },
    },
    request => {
      const { db, actor, user, query } = request
      const file = uploadOf(request)
      const read = file.media_type === CSV ? linesOfCsv : linesOfJson
      const settings = { ...query, actor, user_id: user.id, check: checkBy(request, newItem) }
      return importItems(db, settings, () => read(file))
    },
  )

  app.get(
    '/export',
    {
      // HEAD would read the first items for nothing.
      exposeHeadRoute: false,
      config: { access: READ, problems: [Forbidden] },
      schema: {
        operationId: 'exportItems',
        summary: 'Export your items as lines of JSON or as CSV',
        description:
          'With the filters of the list. An answer that breaks off before its end is not complete: the connection is ' +
          'cut. In CSV, a cell that a spreadsheet would run as a formula begins with an apostrophe, which the import ' +
          'takes off again.',
        tags,
        querystring: ItemExportParameters,
        response: {
          200: withHeaders(
            {
              description: 'An item on each line.',
              content: {
                [NDJSON]: { schema: Type.Unsafe<Readable>(ref(Item)) },
                [CSV]: { schema: Type.Unsafe<Readable>({ type: 'string', description: 'With a header.' }) },
              },
            },
            savedAs,
          ),
        },
      },
    },
    async ({ user, query }, reply) => {
      const { format, sort_by, sort_dir, ...asked } = query
      const filter = { ...asked, user_id: ownerAsked(user, asked.user_id) }
      // First, because a failure must not be saved as a file.
      const lines = await exportItems(db, filter, { sort_by, sort_dir }, format)
      return reply
        .type(format === 'csv' ? `${CSV}; charset=utf-8` : NDJSON)
        .header('content-disposition', `attachment; filename="items.${format}"`)
        .send(lines)
    },
  )
}
