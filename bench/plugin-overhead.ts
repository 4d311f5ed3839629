import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { emailOf, fillAccounts, signIn, startWebProcess } from './lib/accounts.ts'
import { openConnection } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { hammer } from './lib/hammer.ts'
import { endAfter, expect } from './lib/limits.ts'
import { compareServers, startMeasured, type Variant } from './lib/measured-server.ts'
import { readProfile } from './lib/profile.ts'
import { median } from './lib/stats.ts'

// What all that holds for every route costs a request, against the same handler on a plain Fastify.

const TRIVIAL = '/api/v1/bench-trivial'
const PLENTY = '999999999/hour'

/** So many times what a plain Fastify takes: more than there is today, so that it is seen when something slips in. */
const TRIVIAL_LIMIT = 6
const ITEM_LIMIT = 3

const PROFILED_REQUESTS = 20_000

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    requests: { type: 'string', default: '3000' },
    'rate-limit': { type: 'string', default: '' },
  },
})
const rounds = Number(values.rounds)
const requests = Number(values.requests)
endAfter(900)

await withDatabase(async url => {
  const { token, user_id, item_id } = await prepare(url)
  const plinth = { RATELIMIT_STANDARD: PLENTY, RATELIMIT_DEFAULT: PLENTY }
  const comparison = { url, rounds, requests }

  console.log('GET /health/live, a route that does nothing and is not limited')
  await compareServers(
    [
      { title: 'plain Fastify', kind: 'bare' },
      { title: 'Plinth', kind: 'plinth', environment: plinth },
    ],
    { ...comparison, path: '/health/live' },
  )

  console.log('\na route that does nothing, for somebody signed in')
  const full = { kind: 'plinth', environment: plinth, token }
  const [, whole] = await compareServers(
    [
      { title: 'plain Fastify', kind: 'bare' },
      { title: 'Plinth', ...full },
      { title: '  for anybody', kind: 'plinth', environment: plinth, path: '/api/v1/bench-public' },
      { title: '  without limits', ...full, environment: { ...plinth, RATELIMIT_ENABLED: 'false' } },
      { title: '  without a log', ...full, environment: { ...plinth, LOG_LEVEL: 'silent' } },
    ],
    { ...comparison, path: TRIVIAL },
  )

  console.log('\na plain Fastify and one thing more, on the same route')
  await compareServers(additions(), { ...comparison, path: TRIVIAL })

  console.log('\nGET /api/v1/items/{id}, by the same statement')
  const [, items] = await compareServers(
    [
      { title: 'plain Fastify', kind: 'bare', environment: { BENCH_OWNER: user_id } },
      { title: 'Plinth', ...full },
    ],
    { ...comparison, path: `/api/v1/items/${item_id}`, token },
  )

  await showProfile('a route that does nothing', url, TRIVIAL, token)
  await showProfile('GET /api/v1/items/{id}', url, `/api/v1/items/${item_id}`, token)

  const [ofTrivial, ofItems] = [whole, items].map(measured => median(measured?.ratios ?? []))
  console.log()
  expect(Number(ofTrivial) <= TRIVIAL_LIMIT, `nothing costs at most ${TRIVIAL_LIMIT} times as much`)
  expect(Number(ofItems) <= ITEM_LIMIT, `an item costs at most ${ITEM_LIMIT} times as much`)
})

async function prepare(url: string) {
  const { port, service } = await startWebProcess(url)
  await fillAccounts(url, [{ kind: 'caller', count: 1 }])
  const connection = openConnection(port)
  const { token, user_id } = await signIn(connection, emailOf('caller', 0))
  const body = { title: 'An item', price: '12.50', metadata: { colour: 'red', size: 42 } }
  const made = await connection.ask({ method: 'POST', path: '/api/v1/items', token, body })
  connection.close()
  await service.stop()
  return { token, user_id, item_id: JSON.parse(made.body).id as string }
}

function additions(): Variant[] {
  const environment = { RATELIMIT_DEFAULT: PLENTY, BENCH_RATE_LIMIT: values['rate-limit'] }
  const names = [
    'hook',
    'log',
    'fastify-log',
    'security-headers',
    'unknown-routes',
    'cors',
    'input',
    'lifecycle',
    'limits',
    ...(values['rate-limit'] === '' ? [] : ['fastify-rate-limit']),
  ]
  return [
    { title: 'plain Fastify', kind: 'bare' },
    ...names.map(name => ({ title: `  ${name}`, kind: `bare+${name}`, environment })),
  ]
}

/** Where the time of the whole service goes, by what is at work. */
async function showProfile(title: string, url: string, path: string, token: string) {
  const server = await startMeasured({ kind: 'plinth', environment: { RATELIMIT_STANDARD: PLENTY } }, url)
  const task = { port: server.port, path, token, requests: PROFILED_REQUESTS, connections: 8 }
  await hammer(task)
  const profile = await server.profile(() => hammer(task))
  await server.stop()
  const root = fileURLToPath(new URL('..', import.meta.url))
  const { files, functions } = readProfile(profile, root)
  console.log(`\nprofile of ${title}, ${PROFILED_REQUESTS} requests: µs each, without what is called`)
  print('by file or package', files)
  print('by function, and the native one that it calls', functions)
}

function print(title: string, micros: Map<string, number>) {
  console.log(title)
  const sorted = [...micros].sort(([, a], [, b]) => b - a).slice(0, 28)
  for (const [name, total] of sorted) {
    console.log(`${(total / PROFILED_REQUESTS).toFixed(2).padStart(8)}  ${name}`)
  }
}
