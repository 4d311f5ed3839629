import { type Static, type TSchema, type TUnsafe, Type } from '@sinclair/typebox'

const components: TSchema[] = []

/** Names a schema so that it appears once in `components.schemas`. Use it elsewhere through `ref`. */
export function component<T extends TSchema>($id: string, schema: T): T {
  const named = { ...schema, $id }
  components.push(named)
  return named
}

/** Every component that has been declared: `app.ts` registers them once, at the root. */
export const allComponents = (): readonly TSchema[] => components

export function ref<T extends TSchema>(schema: T): TUnsafe<Static<T>> {
  if (schema.$id === undefined) throw new Error('Only a component can be referred to.')
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` })
}

/** One of a few words. A union of literals would say the same in more words and worse error messages. */
export const OneOf = <const T extends string[]>(
  values: T,
  options: { description?: string; default?: T[number] } = {},
) => Type.Unsafe<T[number]>({ type: 'string', enum: values, ...options })

/** RFC 3339 in UTC with milliseconds; a `Date` from the driver is serialised by the schema. */
export const Timestamp = Type.Unsafe<Date>({ type: 'string', format: 'date-time' })

/** The pattern, because the format also lets `urn:uuid:` pass. */
export const Id = Type.String({
  format: 'uuid',
  pattern: '^[0-9a-fA-F-]{36}$',
  'x-message': 'must be a UUID',
  description: 'A UUID of version 7: what was made later sorts behind.',
})

/** A value or `null`. Written as a list of types, because Ajv would coerce through a union. */
export function Nullable<T extends TSchema>(schema: T, options: { description?: string } = {}) {
  // Null is none of the words of an `enum` unless it is listed.
  const words = schema.enum === undefined ? {} : { enum: [...schema.enum, null] }
  return Type.Unsafe<Static<T> | null>({ ...schema, ...words, ...options, type: [schema.type, 'null'] })
}

/** A moment in a URL: `Timestamp` is what answers hold, this is text. */
export const Moment = (options: { description?: string; examples?: string[] } = {}) =>
  // The format knows leap seconds, a year 0 and offsets of a day, which nothing else here does.
  Type.String({
    format: 'date-time',
    pattern: `^(?!0000)[^:]+:[0-9]{2}:[0-5][0-9]${FRACTION}${OFFSET}$`,
    'x-message': 'must be a moment like 2026-11-21T08:00:00Z',
    ...options,
  })

const FRACTION = '(\\.[0-9]+)?'
const OFFSET = '([zZ]|[+-](0[0-9]|1[0-5]):[0-5][0-9])'

/** The response of an operation that has nothing to say. */
export const nothing = (description: string) => ({ type: 'null', description }) as const

/** Of an answer that a browser is to save rather than show. */
export const savedAs = { 'Content-Disposition': 'The name of a file to save it in.' }

/** A response and the headers that come with it: their names, and what each tells. */
export const withHeaders = <T extends object>(response: T, headers: Record<string, string>) => ({
  ...response,
  headers: {
    ...(response as { headers?: object }).headers,
    ...Object.fromEntries(
      Object.entries(headers).map(([name, description]) => [name, { type: 'string', description }]),
    ),
  },
})

export const isUuid = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
