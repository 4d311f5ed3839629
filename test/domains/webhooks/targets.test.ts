import { test } from 'tap'
import { MOST_WEBHOOKS } from '../../../src/domains/webhooks/limits.ts'
import { aUser } from '../../helper.ts'
import { aWebhook, eventsAbout, open, rowOf, send, TARGET } from './calls.ts'
import { TARGETS } from './targets.ts'

const titleOf = ({ url, what }: (typeof TARGETS)[number]) => `${JSON.stringify(url).slice(0, 80)}: ${what}`

test('an address that is not public is refused, however it is written', async t => {
  const app = await open(t)
  let { headers } = await aUser(app)
  for (const [count, target] of TARGETS.entries()) {
    if (count % MOST_WEBHOOKS === 0) headers = (await aUser(app)).headers
    const answer = await send(app, 'POST', '', headers, { url: target.url })
    t.equal(answer.statusCode, target.allowed ? 201 : 400, titleOf(target))
    if (target.allowed) t.equal(answer.json().url, target.url)
    else t.match(answer.json(), { code: 'validation_failed', errors: [{ in: 'body', pointer: '/url' }] })
  }
  t.ok(TARGETS.filter(({ allowed }) => allowed).length > 10)
})

test('nor does a change bring it in', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const { webhook } = await aWebhook(app, headers)
  const { id } = webhook
  for (const target of TARGETS.filter(({ allowed }) => !allowed)) {
    for (const method of ['PATCH', 'PUT'] as const) {
      const answer = await send(app, method, `/${id}`, headers, { url: target.url, description: 'x' })
      t.match(answer.json(), { status: 400, errors: [{ pointer: '/url' }] }, titleOf(target))
    }
  }
  t.match(await rowOf(app, id), { url: TARGET, description: null, version: 1 })
  t.equal((await eventsAbout(app, id)).length, 1)
  for (const target of TARGETS.filter(({ allowed }) => allowed)) {
    const answer = await send(app, 'PATCH', `/${id}`, headers, { url: target.url })
    t.match(answer.json(), { url: target.url }, titleOf(target))
  }
})

test('for development, any address will do, but not any URL', async t => {
  const app = await open(t, { variables: { WEBHOOK_ALLOW_PRIVATE: 'true' } })
  const { headers } = await aUser(app)
  for (const url of [
    'http://127.0.0.1:3000/hook',
    'http://localhost:3000/',
    'http://[::1]/',
    'http://private.example/',
  ])
    t.equal((await send(app, 'POST', '', headers, { url })).statusCode, 201, url)
  for (const url of [
    'file:///etc/passwd',
    'http://user:secret@127.0.0.1/',
    'http://127.0.0.1/#x',
    'nonsense',
  ])
    t.match((await send(app, 'POST', '', headers, { url })).json(), { errors: [{ pointer: '/url' }] }, url)
})

test('a refusal tells nothing of what a name stands for', async t => {
  const app = await open(t)
  const { headers } = await aUser(app)
  const refusals = await Promise.all(
    ['private', 'metadata', 'both', 'mapped', 'loopback'].map(async name => {
      const answer = await send(app, 'POST', '', headers, { url: `http://${name}.example/` })
      t.notMatch(answer.body, /10\.0\.0\.5|169\.254|127\.0\.0\.1|93\.184/)
      return answer.json().errors[0].message
    }),
  )
  t.equal(new Set(refusals).size, 1)
})
