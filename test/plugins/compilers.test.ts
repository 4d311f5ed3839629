import { Type } from '@sinclair/typebox'
import fastify from 'fastify'
import { test } from 'tap'
import { createCompilers } from '../../src/plugins/compilers.ts'

const body = Type.Object({ name: Type.String() }, { additionalProperties: false })
const response = { 200: Type.Object({ name: Type.String() }) }

/** One whose schema nobody can compile. */
const broken = { type: 'object', properties: { name: { type: 'no such type' } } }

test('a schema is compiled when it is first needed, and checks and serialises then', async t => {
  const { compilersFactory } = createCompilers()
  const app = fastify({ schemaController: { compilersFactory } })
  t.teardown(() => app.close())
  app.post('/good', { schema: { body, response } }, async () => ({ name: 'Ada', secret: 'x' }))
  app.post('/broken', { schema: { body: broken } }, async () => ({}))
  await app.ready()
  const good = await app.inject({ method: 'POST', url: '/good', payload: { name: 'Ada' } })
  t.strictSame(good.json(), { name: 'Ada' })
  t.equal((await app.inject({ method: 'POST', url: '/good', payload: { name: 5 } })).statusCode, 400)
  t.equal((await app.inject({ method: 'POST', url: '/good', payload: {} })).statusCode, 400)
  t.equal((await app.inject({ method: 'POST', url: '/broken', payload: {} })).statusCode, 500)
})

test('the rest is compiled once there is time, and what cannot be is told', async t => {
  const { compilersFactory, compileAll } = createCompilers()
  const app = fastify({ schemaController: { compilersFactory } })
  t.teardown(() => app.close())
  app.post('/good', { schema: { body, response } }, async () => ({ name: 'Ada' }))
  await app.ready()
  await compileAll()

  const other = createCompilers()
  const faulty = fastify({ schemaController: { compilersFactory: other.compilersFactory } })
  t.teardown(() => faulty.close())
  faulty.post('/broken', { schema: { body: broken } }, async () => ({}))
  await faulty.ready()
  await t.rejects(other.compileAll(), /no such type|schema is invalid/)
})
