import { type Static, Type } from '@sinclair/typebox'
import { Name } from '../../accounts/schemas.ts'
import { apiKeys } from '../../accounts/tables.ts'
import { SCOPES } from '../../lib/access.ts'
import { KeysetPage, keysetParameters } from '../../lib/keyset.ts'
import { component, Id, Moment, Nullable, OneOf, Timestamp } from '../../lib/schema.ts'

/** A week: enough to bring a new key to every machine that has the old one. */
const MAX_OVERLAP_SECONDS = 604_800

const closed = { additionalProperties: false }

const Scopes = Type.Array(OneOf([...SCOPES]), {
  minItems: 1,
  maxItems: SCOPES.length,
  uniqueItems: true,
  description: 'What the key may do.',
})

export const ApiKey = component(
  'ApiKey',
  Type.Object(
    {
      id: Id,
      name: Type.String({ description: 'What its owner calls it.' }),
      prefix: Type.String({ description: 'How the key begins, by which people tell keys apart.' }),
      scopes: Scopes,
      expires_at: Nullable(Timestamp, { description: 'From when on it is refused; `null`: never.' }),
      previous_expires_at: Nullable(Timestamp, {
        description: 'Until when the key before the last rotation is good as well, if it was given any time.',
      }),
      last_used_at: Nullable(Timestamp, { description: 'To the minute; `null`: not yet.' }),
      created_at: Timestamp,
      updated_at: Timestamp,
    },
    { description: 'A key for programs that act for its owner. The key itself is not kept, only its hash.' },
  ),
)
export type ApiKey = Static<typeof ApiKey>

/** What a query selects to answer with `ApiKey`. */
export const apiKeyColumns = {
  id: apiKeys.id,
  name: apiKeys.name,
  prefix: apiKeys.prefix,
  scopes: apiKeys.scopes,
  expires_at: apiKeys.expires_at,
  previous_expires_at: apiKeys.previous_expires_at,
  last_used_at: apiKeys.last_used_at,
  created_at: apiKeys.created_at,
  updated_at: apiKeys.updated_at,
}

export const IssuedApiKey = component(
  'IssuedApiKey',
  Type.Object(
    {
      ...ApiKey.properties,
      key: Type.String({
        description:
          'The key itself, for `Authorization: Bearer …` or `X-API-Key`. Only this answer holds it.',
      }),
    },
    { description: 'A key that was made just now.' },
  ),
)
export type IssuedApiKey = Static<typeof IssuedApiKey>

export const ApiKeyPage = component('ApiKeyPage', KeysetPage(ApiKey))

const fields = {
  name: Type.String({ ...Name, description: 'To know it by.' }),
  scopes: Scopes,
  expires_at: Nullable(Moment(), { description: 'A moment in the future, or `null`: it does not expire.' }),
}

export const NewApiKey = component(
  'NewApiKey',
  Type.Object(
    { ...fields, expires_at: Type.Optional(fields.expires_at) },
    { ...closed, description: 'A key to be made.' },
  ),
)
export type NewApiKey = Static<typeof NewApiKey>

export const ApiKeyChanges = component(
  'ApiKeyChanges',
  Type.Partial(Type.Object(fields), { ...closed, description: 'What is to be different.' }),
)
export type ApiKeyChanges = Static<typeof ApiKeyChanges>

export const ApiKeyRotation = component(
  'ApiKeyRotation',
  Type.Object(
    {
      overlap_seconds: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: MAX_OVERLAP_SECONDS,
          default: 0,
          description: 'How long the old key stays good, so that it can be replaced where it is used.',
        }),
      ),
    },
    { ...closed, description: 'How the new key takes over from the old one.' },
  ),
)

export const ApiKeyListParameters = Type.Object(keysetParameters)
export const ApiKeyParameters = Type.Object({ id: Id })
