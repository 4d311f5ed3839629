import { type Static, Type } from '@sinclair/typebox'
import { component } from '../../lib/schema.ts'

export const ItemImportParameters = Type.Object({
  dry_run: Type.Boolean({ default: false, description: 'Whether only to check what would be imported.' }),
})

export const ItemImport = component(
  'ItemImport',
  Type.Object(
    {
      imported: Type.Integer({
        minimum: 0,
        description: 'How many items there are now that were not there.',
      }),
      failed: Type.Integer({ minimum: 0, description: 'How many lines were left out.' }),
      errors: Type.Array(
        Type.Object({
          line: Type.Integer({ minimum: 1, description: 'Of the file; where a row of CSV begins.' }),
          code: Type.String(),
          message: Type.String(),
        }),
        { maxItems: 100, description: 'Of the first lines that were left out.' },
      ),
    },
    { description: 'What came of an import.' },
  ),
)
export type ItemImport = Static<typeof ItemImport>
