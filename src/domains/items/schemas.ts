import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { SortedPage, sortedList } from '../../lib/paging.ts'
import { component, Id, Moment, Nullable, OneOf, Timestamp } from '../../lib/schema.ts'

const closed = { additionalProperties: false }

const Title = Type.String({ minLength: 1, maxLength: 255 })
const Description = Nullable(Type.String({ maxLength: 10_000 }))
const Status = OneOf(['draft', 'published', 'archived'])
const Price = Type.String({
  pattern: '^\\d{1,8}\\.\\d{2}$',
  example: '12.50',
  description: 'From `0.00` to `99999999.99`.',
})

/** What is sent may be shorter than what is answered, and a number. */
const GivenPrice = Type.Unsafe<string | number>({
  type: ['string', 'number'],
  pattern: '^\\d{1,8}(\\.\\d{1,2})?$',
  minimum: 0,
  maximum: 99_999_999.99,
  'x-decimals': 2,
  example: '12.50',
  description: 'A decimal with at most two places, from 0 to 99999999.99.',
  'x-message': 'must be a decimal with at most two places, from 0 to 99999999.99',
})

const Metadata = Type.Record(Type.String(), Type.Unknown(), {
  'x-most-bytes': 16 * 1024,
  'x-most-levels': 8,
  description:
    'Whatever belongs to the item: at most 16 KiB of JSON, and 8 levels deep. Numbers are 64-bit floats.',
  'x-message': 'must be an object of at most 16 KiB of JSON and 8 levels',
})

export const Item = component(
  'Item',
  Type.Object(
    {
      id: Id,
      user_id: Id,
      title: Title,
      description: Description,
      status: Status,
      price: Price,
      metadata: Type.Record(Type.String(), Type.Unknown()),
      version: Type.Integer({ minimum: 1, description: 'One more with each change.' }),
      created_at: Timestamp,
      updated_at: Timestamp,
    },
    { description: 'Something that belongs to a user.' },
  ),
)
export type Item = Static<typeof Item>

const given = {
  description: Type.Optional(Description),
  status: Type.Optional(Status),
  price: Type.Optional(GivenPrice),
  metadata: Type.Optional(Metadata),
}

export const NewItem = component(
  'NewItem',
  Type.Object({ title: Title, ...given }, { ...closed, description: 'An item to be.' }),
)
export type NewItem = Static<typeof NewItem>

export const ItemChanges = component(
  'ItemChanges',
  Type.Object(
    { title: Type.Optional(Title), ...given },
    {
      ...closed,
      description:
        'What is to be different. `null` clears the description; `metadata` is replaced as a whole.',
    },
  ),
)
export type ItemChanges = Static<typeof ItemChanges>

export const ItemParameters = Type.Object({ id: Id })

export const ItemSummary = component(
  'ItemSummary',
  Type.Pick(Item, ['id', 'title', 'status', 'price', 'created_at', 'updated_at', 'version'], {
    description: 'An item in a list.',
  }),
)
export type ItemSummary = Static<typeof ItemSummary>
export const ItemPage = component('ItemPage', SortedPage(ItemSummary))

export const SparseItem = component(
  'SparseItem',
  Type.Partial(Item, { description: 'As much of an item as `fields` asks for.' }),
)
export const SparseItemPage = component('SparseItemPage', SortedPage(SparseItem))

export const sortedItems = sortedList(
  'items',
  { created_at: 'moment', updated_at: 'moment', title: 'text', price: 'decimal', status: 'text' },
  'created_at',
)

const decimal = (description: string) =>
  Type.Optional(
    Type.String({
      pattern: '^\\d{1,8}(\\.\\d{1,2})?$',
      description,
      'x-message': 'must be a decimal with at most two places',
    }),
  )

const FIELD_NAMES = Object.keys(Item.properties).join('|')

/** The keys that follow are the caller's own, so they cannot be listed. */
export const METADATA_PREFIX = 'metadata.'

const filters = {
  status: Type.Optional(Status),
  min_price: decimal('Items that cost this much or more.'),
  max_price: decimal('Items that cost this much or less.'),
  created_from: Type.Optional(Moment({ description: 'Items made from this moment on.' })),
  created_to: Type.Optional(Moment({ description: 'Items made before this moment.' })),
  search: Type.Optional(
    Type.String({
      maxLength: 255,
      description: 'A part of the title or the description, in any case; no character is special.',
    }),
  ),
  user_id: Type.Optional({
    ...Id,
    description: "Whose items; for administrators. Otherwise the caller's own.",
  }),
}

/** `metadata.color=red`: names that begin like this, and a value to be equal. */
const byMetadata = { patternProperties: { '^metadata\\.': Type.String({ maxLength: 1000 }) } }

const withMetadata = <Properties extends Record<string, TSchema>>(properties: Properties) =>
  Type.Object(properties, byMetadata)

const ItemFilter = Type.Object(filters)
export type ItemFilter = Static<typeof ItemFilter> & { [key: `metadata.${string}`]: string }

const fields = Type.Optional(
  Type.String({
    pattern: `^(?:${FIELD_NAMES})(?:,(?:${FIELD_NAMES}))*$`,
    maxLength: 500,
    example: 'id,title,description',
    description: 'Only these fields of each item, separated by commas; any field of `Item`.',
    'x-message': `must be names separated by commas, of ${FIELD_NAMES.replaceAll('|', ', ')}`,
  }),
)

export const ItemListParameters = withMetadata({ ...filters, fields, ...sortedItems.parameters })

const { sort_by, sort_dir } = sortedItems.parameters

export const ItemExportParameters = withMetadata({
  format: OneOf(['ndjson', 'csv'], { default: 'ndjson' }),
  ...filters,
  sort_by,
  sort_dir,
})

export const ItemStats = component(
  'ItemStats',
  Type.Object(
    {
      total: Type.Integer({ minimum: 0 }),
      draft: Type.Integer({ minimum: 0 }),
      published: Type.Integer({ minimum: 0 }),
      archived: Type.Integer({ minimum: 0 }),
    },
    { description: 'How many items there are, in all and by status. Deleted ones do not count.' },
  ),
)
export type ItemStats = Static<typeof ItemStats>
