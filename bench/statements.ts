import { parseConfig } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import { prepareDatabase } from '../src/prepare.ts'
import { emailOf, fillAccounts, signIn, startWebProcess } from './lib/accounts.ts'
import { type Asked, openConnection } from './lib/connection.ts'
import { countingProxy } from './lib/counting-proxy.ts'
import { withDatabase } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'

// What a request asks of the database, counted on the wire: one round trip for what is read or written, four for a write
// that is kept under an Idempotency-Key.

const REQUESTS = 50

/** What is looked up again, or noted, from time to time. */
const TOLERANCE = 0.1

endAfter(120)

interface Question {
  title: string
  ask(number: number): Asked
  /** Statements and round trips that it may take. */
  most: [statements: number, roundTrips: number]
}

await withDatabase(async url => {
  const database = await connect(parseConfig({ DATABASE_URL: url }))
  await prepareDatabase(database)
  await database.close()
  await fillAccounts(url, [{ kind: 'owner', count: 1 }])
  const proxy = await countingProxy(new URL(url))
  const { port, service } = await startWebProcess(proxy.url, { DATABASE_POOL_SIZE: '1' })
  const connection = openConnection(port)
  const { token } = await signIn(connection, emailOf('owner', 0))
  const ids: string[] = []
  for (let number = 0; number < REQUESTS; number++) {
    const body = { title: `Item ${number}`, price: '1.00', metadata: { number } }
    const made = await connection.ask({ method: 'POST', path: '/api/v1/items', token, body })
    ids.push(JSON.parse(made.body).id)
  }
  const post = JSON.parse(
    (
      await connection.ask({
        method: 'POST',
        path: '/api/v1/posts',
        token,
        body: { title: 'x', content: 'y' },
      })
    ).body,
  )
  const item = (number: number) => `/api/v1/items/${ids[number % REQUESTS]}`
  const at =
    (method: string, path: (number: number) => string, body?: (number: number) => object) =>
    (number: number) => ({
      method,
      path: path(number),
      token,
      ...(body && { body: body(number) }),
    })
  const items = () => '/api/v1/items'
  const keyed = (number: number) => ({
    ...at('POST', items, () => ({ title: `Keyed ${number}` }))(number),
    headers: { 'idempotency-key': `key-${number}` },
  })
  const questions: Question[] = [
    { title: 'read an item', ask: at('GET', item), most: [1, 1] },
    { title: 'list items', ask: at('GET', items), most: [1, 1] },
    { title: 'search items', ask: at('GET', () => '/api/v1/items?search=item'), most: [1, 1] },
    { title: 'stats', ask: at('GET', () => '/api/v1/items/stats'), most: [1, 1] },
    { title: 'create an item', ask: at('POST', items, number => ({ title: `New ${number}` })), most: [1, 1] },
    { title: 'the same with a key', ask: keyed, most: [5, 5] },
    {
      title: 'change an item',
      ask: at('PATCH', item, number => ({ title: `Other ${number}` })),
      most: [1, 1],
    },
    {
      title: 'change nothing',
      ask: at('PATCH', item, number => ({ title: `Other ${number}` })),
      most: [1, 1],
    },
    { title: 'publish an item', ask: at('POST', number => `${item(number)}/publish`), most: [1, 1] },

    { title: 'delete an item', ask: at('DELETE', item), most: [1, 1] },
    { title: 'restore an item', ask: at('POST', number => `${item(number)}/restore`), most: [1, 1] },
    { title: 'batch of 20', ask: at('POST', () => '/api/v1/items/batch', batch), most: [23, 5] },
    { title: 'read a post', ask: at('GET', () => `/api/v1/posts/${post.id}`), most: [1, 1] },
    { title: 'list posts', ask: at('GET', () => '/api/v1/posts'), most: [1, 1] },
    {
      title: 'create a post',
      ask: at(
        'POST',
        () => '/api/v1/posts',
        number => ({ title: `P ${number}`, content: 'y' }),
      ),
      most: [1, 1],
    },
    {
      title: 'change a post',
      ask: at(
        'PATCH',
        () => `/api/v1/posts/${post.id}`,
        number => ({ title: `P ${number}` }),
      ),
      most: [1, 1],
    },
  ]
  console.log(`${'request'.padEnd(20)} statements  round trips  parsed`)
  for (const { title, ask, most } of questions) {
    // The first of each has its statements prepared.
    for (let number = 0; number < REQUESTS; number++) {
      if (number === 1) proxy.reset()
      const { result, body } = await connection.ask(ask(number))
      if (!result.startsWith('2')) throw new Error(`${title}: ${result} ${body}`)
    }
    const share = (count: number) => count / (REQUESTS - 1)
    const { statements, roundTrips, parsed } = proxy.traffic
    console.log(
      `${title.padEnd(20)} ${share(statements).toFixed(2).padStart(10)}  ${share(roundTrips).toFixed(2).padStart(11)}  ${share(parsed).toFixed(2).padStart(6)}`,
    )
    const holds = share(statements) < most[0] + TOLERANCE && share(roundTrips) < most[1] + TOLERANCE
    if (!holds) expect(false, `${title}: at most ${most[0]} statements in ${most[1]} round trips`)
  }
  connection.close()
  await service.stop()
  proxy.close()
})

function batch(number: number) {
  const operations = Array.from({ length: 20 }, (_, index) => ({
    op: 'create',
    data: { title: `B ${number} ${index}` },
  }))
  return { operations }
}
