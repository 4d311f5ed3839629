/** The forms of a domain's name, from `line-items`. */
export interface DomainNames {
  /** `line-items`: folder and path */
  kebab: string
  /** `line_items`: table */
  snake: string
  /** `lineItems`: the table in code */
  plural: string
  /** `LineItem`: schemas */
  Singular: string
  /** `lineItemCreated`: the type of its first event */
  event: string
  /** `line_item`: the subject of its events */
  singular: string
  /** `line item`: sentences */
  words: string
}

/** The files of a new domain: a resource with a name that can be made and read, to be grown from there. */
export function domainFiles(names: DomainNames): Record<string, string> {
  const folder = `src/domains/${names.kebab}`
  return {
    [`${folder}/index.ts`]: routes(names),
    [`${folder}/schemas.ts`]: schemas(names),
    [`${folder}/tables.ts`]: tables(names),
    [`${folder}/queries.ts`]: queries(names),
    [`${folder}/events.ts`]: events(names),
    [`${folder}/service.ts`]: service(names),
    [`test/domains/${names.kebab}.test.ts`]: test(names),
  }
}

export const registration = ({ kebab, plural }: DomainNames) =>
  `export { default as ${plural} } from './${kebab}/index.ts'\n`

const routes = ({ kebab, Singular, words }: DomainNames) => `import { NotFound } from '../../lib/problems.ts'
import { ref } from '../../lib/schema.ts'
import type { Domain } from '../domain.ts'
import { find${Singular} } from './queries.ts'
import { New${Singular}, ${Singular}, ${Singular}Params } from './schemas.ts'
import { create${Singular} } from './service.ts'

const config = { access: 'public' } as const
const tags = ['${kebab}']

export default {
  prefix: '/api/v1/${kebab}',
  tag: { name: '${kebab}', description: 'Say in a sentence what a ${words} is for.' },
  routes: async app => {
    app.post(
      '',
      {
        config: { ...config, idempotency: true },
        schema: {
          operationId: 'create${Singular}',
          summary: 'Create a ${words}',
          tags,
          body: ref(New${Singular}),
          response: { 201: ref(${Singular}) },
        },
      },
      async ({ db, actor, body }, reply) => {
        const created = await create${Singular}(db, actor, body)
        return reply.code(201).header('location', \`/api/v1/${kebab}/\${created.id}\`).send(created)
      },
    )

    app.get(
      '/:id',
      {
        config,
        schema: {
          operationId: 'get${Singular}',
          summary: 'Read a ${words}',
          tags,
          params: ${Singular}Params,
          response: { 200: ref(${Singular}) },
        },
      },
      async ({ db, params }) => {
        const found = await find${Singular}(db, params.id)
        if (found === undefined) throw new NotFound('There is no ${words} with this id.')
        return found
      },
    )
  },
} satisfies Domain
`

const schemas = ({ Singular }: DomainNames) => `import { Type } from '@sinclair/typebox'
import { component, Id, Timestamp } from '../../lib/schema.ts'

const name = Type.String({ minLength: 1, maxLength: 100 })

export const ${Singular} = component(
  '${Singular}',
  Type.Object({ id: Id, name, created_at: Timestamp, updated_at: Timestamp }),
)

export const New${Singular} = component('New${Singular}', Type.Object({ name }, { additionalProperties: false }))

export const ${Singular}Params = Type.Object({ id: Id })
`

const tables = ({ snake, plural }: DomainNames) => `import { pgTable, text } from 'drizzle-orm/pg-core'
import { idColumn, timestampColumns } from '../../db/columns.ts'

export const ${plural} = pgTable('${snake}', {
  id: idColumn(),
  name: text().notNull(),
  ...timestampColumns(),
})
`

const queries = ({ plural, Singular }: DomainNames) => `import type { Static } from '@sinclair/typebox'
import { eq } from 'drizzle-orm'
import type { Db, Tx } from '../../db/types.ts'
import type { New${Singular}, ${Singular} } from './schemas.ts'
import { ${plural} } from './tables.ts'

export async function insert${Singular}(tx: Tx, values: Static<typeof New${Singular}>) {
  const [created] = await tx.insert(${plural}).values(values).returning()
  return created as Static<typeof ${Singular}>
}

export async function find${Singular}(db: Db, id: string) {
  const [found] = await db.select().from(${plural}).where(eq(${plural}.id, id))
  return found
}
`

const events = ({ singular, event, Singular }: DomainNames) => `import { Type } from '@sinclair/typebox'
import { defineEvent } from '../../events/event-type.ts'
import { ${Singular} } from './schemas.ts'

export const ${event} = defineEvent('${singular}.created', Type.Pick(${Singular}, ['name']))
`

const service = ({ event, Singular }: DomainNames) => `import type { Static } from '@sinclair/typebox'
import { inTransaction } from '../../db/transaction.ts'
import type { Db } from '../../db/types.ts'
import { record } from '../../events/record.ts'
import type { Actor } from '../../lib/actor.ts'
import { ${event} } from './events.ts'
import { insert${Singular} } from './queries.ts'
import type { New${Singular} } from './schemas.ts'

export function create${Singular}(db: Db, actor: Actor, values: Static<typeof New${Singular}>) {
  return inTransaction(db, async tx => {
    const after = await insert${Singular}(tx, values)
    await record(tx, actor, ${event}, { subject_id: after.id, owner_id: actor.id, after })
    return after
  })
}
`

const test = ({ kebab, singular, words }: DomainNames) => `import { test } from 'tap'
import { build, signedIn } from '../helper.ts'

const url = '/api/v1/${kebab}'

test('a ${words} is made and read', async t => {
  const app = await build(t)
  const created = await app.inject({ method: 'POST', url, payload: { name: 'First' } })
  t.equal(created.statusCode, 201)
  t.equal(created.headers.location, \`\${url}/\${created.json().id}\`)
  t.strictSame(Object.keys(created.json()).sort(), ['created_at', 'id', 'name', 'updated_at'])

  const found = await app.inject(String(created.headers.location))
  t.equal(found.statusCode, 200)
  t.strictSame(found.json(), created.json())

  const audit = \`/api/v1/audit?subject_id=\${created.json().id}\`
  const { data } = (await app.inject({ url: audit, headers: await signedIn(app) })).json()
  t.match(data, [{ type: '${singular}.created', changes: { name: [null, 'First'] } }])
  t.equal(data.length, 1)
})

test('a ${words} that is not valid or not there is a problem', async t => {
  const app = await build(t)
  const invalid = await app.inject({ method: 'POST', url, payload: { name: '', color: 'red' } })
  t.equal(invalid.statusCode, 400)
  t.strictSame(
    invalid.json().errors.map((fault: { pointer: string }) => fault.pointer).sort(),
    ['/color', '/name'],
  )
  t.equal((await app.inject(\`\${url}/00000000-0000-7000-8000-000000000000\`)).statusCode, 404)
  t.equal((await app.inject(\`\${url}/not-an-id\`)).statusCode, 400)
})
`
