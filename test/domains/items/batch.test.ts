import { test } from 'tap'
import type { App } from '../../../src/app.ts'
import { newId } from '../../../src/lib/id.ts'
import { aUser, build } from '../../helper.ts'
import { type AnItem, anItem, eventsAbout, eventsOf, type Headers, path, send } from './calls.ts'

const batch = (app: App, headers: Headers, operations: unknown, options: object = {}) =>
  send(app, 'POST', '/batch', headers, { operations, ...options })

/** All that somebody has, oldest first. */
async function allOf(app: App, headers: Headers): Promise<AnItem[]> {
  const answer = await send(app, 'GET', '?sort_dir=asc&per_page=100', headers)
  return answer.json().data
}

test('what a batch says is done in its order', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const [first, second] = [await anItem(app, headers), await anItem(app, headers, { status: 'archived' })]
  const answer = await batch(app, headers, [
    { op: 'create', data: { title: 'New', price: '1.5' } },
    { op: 'update', id: first.id, version: 1, data: { title: 'One', status: 'published' } },
    { op: 'update', id: first.id.toUpperCase(), version: 2, data: { title: 'Two' } },
    { op: 'update', id: first.id, data: { title: 'Two' } },
    { op: 'delete', id: second.id, version: 1 },
  ])
  t.equal(answer.statusCode, 200)
  const { results, ...numbers } = answer.json()
  t.strictSame(numbers, { succeeded: 5, failed: 0 })
  const [created, one, two, same, deleted] = results
  t.strictSame(created, {
    index: 0,
    status: 201,
    item: {
      id: created.item.id,
      user_id,
      title: 'New',
      description: null,
      status: 'draft',
      price: '1.50',
      metadata: {},
      version: 1,
      created_at: created.item.created_at,
      updated_at: created.item.created_at,
    },
  })
  t.strictSame(one, {
    index: 1,
    status: 200,
    item: { ...first, title: 'One', status: 'published', version: 2, updated_at: one.item.updated_at },
  })
  t.strictSame(two, { index: 2, status: 200, item: { ...one.item, title: 'Two', version: 3 } })
  t.strictSame(same, { ...two, index: 3 })
  t.strictSame(deleted, { index: 4, status: 204 })

  t.strictSame((await send(app, 'GET', `/${created.item.id}`, headers)).json(), created.item)
  t.strictSame((await send(app, 'GET', `/${first.id}`, headers)).json(), two.item)
  t.equal((await send(app, 'GET', `/${second.id}`, headers)).statusCode, 404)
  const typesOf = async (id: string) => (await eventsAbout(app, id)).map(({ type }) => type)
  t.strictSame(await typesOf(created.item.id), ['item.created'])
  t.strictSame(await typesOf(first.id), ['item.created', 'item.published', 'item.updated'])
  t.strictSame(await typesOf(second.id), ['item.created', 'item.deleted'])
  const [, published] = await eventsAbout(app, first.id)
  t.match(published, { owner_id: user_id, actor_id: user_id, request_id: answer.headers['x-request-id'] })
  t.strictSame(published?.changes, {
    title: ['Lamp', 'One'],
    status: ['draft', 'published'],
    version: [1, 2],
  })
  const order = (await eventsOf(app, user_id)).slice(2).map(({ type }) => type)
  t.strictSame(order, ['item.created', 'item.published', 'item.updated', 'item.deleted'], 'in their order')
})

/** An operation that cannot be done, and what it is answered with. */
interface Faulty {
  name: string
  operation: object
  status: number
  code: string
  /** Where in the operation, and by which rule. */
  at?: [pointer: string, code: string]
}

async function faultyOperations(app: App, headers: Headers): Promise<Faulty[]> {
  const stranger = await aUser(app)
  const theirs = await anItem(app, stranger.headers, { description: 'planted-secret' })
  const [mine, gone] = [await anItem(app, headers), await anItem(app, headers)]
  await send(app, 'DELETE', `/${gone.id}`, headers)
  const invalid = { status: 400, code: 'validation_failed' }
  const missing = { status: 404, code: 'not_found' }
  const data = { title: 'Eve' }
  const update = { op: 'update', id: mine.id }
  return [
    { name: 'nothing to create', operation: { op: 'create' }, ...invalid, at: ['/data', 'required'] },
    { name: 'nothing to change', operation: update, ...invalid, at: ['/data', 'required'] },
    { name: 'nobody to change', operation: { op: 'update', data }, ...invalid, at: ['/id', 'required'] },
    { name: 'nobody to delete', operation: { op: 'delete' }, ...invalid, at: ['/id', 'required'] },
    {
      name: 'an id of its own',
      operation: { op: 'create', id: newId(), data },
      ...invalid,
      at: ['/id', 'additionalProperties'],
    },
    {
      name: 'a version of what is new',
      operation: { op: 'create', version: 1, data },
      ...invalid,
      at: ['/version', 'additionalProperties'],
    },
    {
      name: 'something to delete with',
      operation: { op: 'delete', id: mine.id, data },
      ...invalid,
      at: ['/data', 'additionalProperties'],
    },
    { name: 'no title', operation: { op: 'create', data: {} }, ...invalid, at: ['/data/title', 'required'] },
    {
      name: 'a wrong price',
      operation: { op: 'create', data: { title: 'x', price: 1.005 } },
      ...invalid,
      at: ['/data/price', 'decimals'],
    },
    {
      name: 'an unknown field',
      operation: { ...update, data: { user_id: stranger.id } },
      ...invalid,
      at: ['/data/user_id', 'additionalProperties'],
    },
    {
      name: 'a wrong status',
      operation: { ...update, data: { status: 'deleted' } },
      ...invalid,
      at: ['/data/status', 'enum'],
    },
    {
      name: 'deep metadata',
      operation: { ...update, data: { metadata: { a: [[[[[[[[]]]]]]]] } } },
      ...invalid,
      at: ['/data/metadata', 'most-levels'],
    },
    { name: 'another’s', operation: { op: 'update', id: theirs.id, data }, ...missing },
    {
      name: 'another’s, of a wrong version',
      operation: { op: 'delete', id: theirs.id, version: 9 },
      ...missing,
    },
    { name: 'what never was', operation: { op: 'delete', id: newId() }, ...missing },
    { name: 'what is deleted', operation: { op: 'update', id: gone.id, data }, ...missing },
    {
      name: 'another version',
      operation: { ...update, version: 2, data },
      status: 412,
      code: 'precondition_failed',
    },
    {
      name: 'another version to delete',
      operation: { op: 'delete', id: mine.id, version: 2 ** 31 - 1 },
      status: 412,
      code: 'precondition_failed',
    },
  ]
}

test('what cannot be done is told, and the rest is done', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const faulty = await faultyOperations(app, headers)
  const before = (await allOf(app, headers)).length
  const recorded = (await eventsOf(app, user_id)).length
  const create = { op: 'create', data: { title: 'Good' } }
  const operations = faulty.flatMap(({ operation }) => [operation, create])
  const answer = await batch(app, headers, operations, { atomic: false })
  t.equal(answer.statusCode, 200)
  t.notMatch(answer.body, /planted/)
  const { results, succeeded, failed } = answer.json()
  t.strictSame([succeeded, failed], [faulty.length, faulty.length])
  for (const [index, { name, status, code, at }] of faulty.entries()) {
    const [bad, good] = [results[2 * index], results[2 * index + 1]]
    t.match(bad, { index: 2 * index, status, error: { code, detail: /\.$/ } }, name)
    t.notOk('item' in bad, name)
    t.equal('errors' in bad.error, status === 400, name)
    if (at) {
      const [pointer, rule] = at
      t.equal(bad.error.errors.length, 1, name)
      t.match(bad.error.errors[0], { in: 'body', pointer, code: rule, message: /./ }, name)
    }
    t.match(good, { index: 2 * index + 1, status: 201, item: { title: 'Good' } })
    t.notOk('error' in good)
  }
  t.equal((await allOf(app, headers)).length, before + faulty.length)
  t.equal((await eventsOf(app, user_id)).length, recorded + faulty.length)
})

test('if it is to be all or nothing, one fault is enough for nothing', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const kept = await anItem(app, headers)
  const doomed = await anItem(app, headers)
  const faulty = await faultyOperations(app, headers)
  const before = await allOf(app, headers)
  const recorded = (await eventsOf(app, user_id)).length
  for (const { name, operation, status, code } of faulty) {
    const answer = await batch(app, headers, [
      { op: 'create', data: { title: 'New' } },
      { op: 'update', id: kept.id, data: { title: 'Changed' } },
      operation,
      { op: 'delete', id: doomed.id },
    ])
    t.equal(answer.statusCode, 422, name)
    t.equal(answer.headers['content-type'], 'application/problem+json')
    const body = answer.json()
    t.match(body, { status: 422, code: 'batch_failed', detail: /^One operation failed, .* index 2: / }, name)
    t.notMatch(answer.body, /planted/)
    t.equal(body.results.length, 1, name)
    t.match(body.results[0], { index: 2, status, error: { code } }, name)
  }
  t.strictSame(await allOf(app, headers), before)
  t.equal((await eventsOf(app, user_id)).length, recorded)
  t.strictSame((await send(app, 'GET', '/stats', headers)).json().total, before.length)

  const wrong = Array.from({ length: 60 }, () => ({ op: 'delete', id: newId() }))
  const many = await batch(app, headers, [{ op: 'create', data: { title: 'x' } }, ...wrong])
  t.match(many.json(), { status: 422, detail: /^60 operations failed, first the one at index 1: / })
  t.equal(many.json().results.length, 50, 'as many as a problem lists')
})

test('the same item twice in one batch', async t => {
  const app = await build(t)
  const { headers } = await aUser(app)
  const { id } = await anItem(app, headers)
  const title = (title: string, version?: number) => ({ op: 'update', id, version, data: { title } })
  const statuses = async (operations: object[], options = {}) => {
    const { results } = (await batch(app, headers, operations, options)).json()
    return results.map(({ status }: { status: number }) => status)
  }
  t.strictSame(await statuses([title('a', 1), title('b', 1)], { atomic: false }), [200, 412])
  t.strictSame(await statuses([title('c', 2), title('d', 2)]), [412], 'nothing of it')
  t.match((await send(app, 'GET', `/${id}`, headers)).json(), { title: 'a', version: 2 })
  const remove = { op: 'delete', id }
  t.strictSame(await statuses([remove, title('e'), remove], { atomic: false }), [204, 404, 404])
})

test('a body that is no batch', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const data = { title: 'x' }
  const create = { op: 'create', data }
  for (const [name, payload, pointer, code] of [
    ['no operations', {}, '/operations', 'required'],
    ['an empty list', { operations: [] }, '/operations', 'minItems'],
    ['1 001 operations', { operations: Array(1001).fill(create) }, '/operations', 'maxItems'],
    ['no list', { operations: create }, '/operations', 'type'],
    ['null', { operations: null }, '/operations', 'type'],
    ['an unknown field', { operations: [create], dry_run: true }, '/dry_run', 'additionalProperties'],
    ['atomic as text', { operations: [create], atomic: 'false' }, '/atomic', 'type'],
    ['atomic as null', { operations: [create], atomic: null }, '/atomic', 'type'],
    ['no operation', { operations: [create, null] }, '/operations/1', 'type'],
    ['an unknown operation', { operations: [{ op: 'upsert', data }] }, '/operations/0/op', 'enum'],
    ['no op', { operations: [create, { data }] }, '/operations/1/op', 'required'],
    [
      'an unknown field of one',
      { operations: [create, { ...create, if_match: 1 }] },
      '/operations/1/if_match',
      'additionalProperties',
    ],
    ['data as text', { operations: [{ op: 'create', data: '{}' }] }, '/operations/0/data', 'type'],
    ['data as a list', { operations: [{ op: 'create', data: [] }] }, '/operations/0/data', 'type'],
    ['null as data', { operations: [{ op: 'create', data: null }] }, '/operations/0/data', 'type'],
    ['null as id', { operations: [{ op: 'delete', id: null }] }, '/operations/0/id', 'type'],
    [
      'a version as text',
      { operations: [{ op: 'delete', id: newId(), version: '1' }] },
      '/operations/0/version',
      'type',
    ],
    [
      'version 0',
      { operations: [{ op: 'delete', id: newId(), version: 0 }] },
      '/operations/0/version',
      'minimum',
    ],
    [
      'a version that no integer is',
      { operations: [{ op: 'delete', id: newId(), version: 2 ** 31 }] },
      '/operations/0/version',
      'maximum',
    ],
  ] as [string, object, string, string][]) {
    const answer = await send(app, 'POST', '/batch', headers, payload)
    const errors = [{ in: 'body', pointer, code }]
    t.match(answer.json(), { status: 400, code: 'validation_failed', errors }, name)
  }
  const bad = await batch(app, headers, [{ op: 'delete', id: 'x' }])
  t.match(bad.json(), { status: 400, errors: [{ pointer: '/operations/0/id' }] })
  const json = { ...headers, 'content-type': 'application/json' }
  const payload = '{"operations":[{"op":"create","data":{"title":"\\u0000"}}]}'
  const nul = await app.inject({ method: 'POST', url: `${path}/batch`, headers: json, payload })
  t.match(nul.json(), { status: 400, code: 'invalid_text' })
  t.strictSame(await eventsOf(app, user_id), [])
})

test('a thousand operations', async t => {
  const app = await build(t)
  const { id: user_id, headers } = await aUser(app)
  const operations = Array.from({ length: 1000 }, (_none, index) => ({
    op: 'create',
    data: { title: `${index}`, status: index % 2 ? 'draft' : 'published' },
  }))
  const answer = await batch(app, headers, operations)
  t.equal(answer.statusCode, 200)
  const { results, succeeded, failed } = answer.json()
  t.strictSame([succeeded, failed, results.length], [1000, 0, 1000])
  const wrong = results.filter(
    ({ index, status, item }: { index: number; status: number; item: AnItem }, at: number) =>
      index !== at || status !== 201 || item.title !== `${at}`,
  )
  t.strictSame(wrong, [])
  t.equal(new Set(results.map(({ item }: { item: AnItem }) => item.id)).size, 1000)
  t.strictSame((await send(app, 'GET', '/stats', headers)).json(), {
    total: 1000,
    draft: 500,
    published: 500,
    archived: 0,
  })
  t.equal((await eventsOf(app, user_id)).length, 1000)
})

test('an administrator changes anybody’s, and creates his own', async t => {
  const app = await build(t)
  const [owner, admin] = [await aUser(app), await aUser(app, 'admin')]
  const { id } = await anItem(app, owner.headers)
  const operations = [
    { op: 'update', id, data: { title: 'x' } },
    { op: 'create', data: { title: 'y' } },
  ]
  const { results } = (await batch(app, admin.headers, operations)).json()
  t.equal(results[0].item.user_id, owner.id)
  t.equal(results[1].item.user_id, admin.id)
  const [, updated] = await eventsAbout(app, id)
  t.match(updated, { type: 'item.updated', owner_id: owner.id, actor_id: admin.id })
})

test('where versions have to be told, each operation has to tell one', async t => {
  const app = await build(t, { variables: { REQUIRE_IF_MATCH: 'true' } })
  const { headers } = await aUser(app)
  const [first, second] = [await anItem(app, headers), await anItem(app, headers)]
  const operations = [
    { op: 'create', data: { title: 'x' } },
    { op: 'update', id: first.id, data: { title: 'Eve' } },
    { op: 'delete', id: first.id },
    { op: 'update', id: first.id, version: 1, data: { title: 'y' } },
    { op: 'delete', id: second.id, version: 1 },
  ]
  const refused = await batch(app, headers, operations)
  t.match(refused.json(), { status: 422, code: 'batch_failed' })
  const { results } = (await batch(app, headers, operations, { atomic: false })).json()
  t.strictSame(
    results.map(({ status }: { status: number }) => status),
    [201, 428, 428, 200, 204],
  )
  t.equal(results[1].error.code, 'precondition_required')
  t.match((await send(app, 'GET', `/${first.id}`, headers)).json(), { title: 'y', version: 2 })
})
