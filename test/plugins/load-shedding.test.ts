import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import { createSpells } from '../../src/plugins/overload-spells.ts'
import { serverUrl } from '../database.ts'
import { build, listen, probe, recordingLogger, testConfig } from '../helper.ts'

const ORIGIN = 'http://localhost:5173'

const routes: NonNullable<NonNullable<Parameters<typeof build>[1]>['routes']> = async app => {
  app.get('/ordinary', probe('ordinary'), async () => ({}))
  app.post('/things', probe('things'), async () => ({}))
  app.get('/long', probe('long'), async () => {
    block(30)
    return {}
  })
  app.get('/read', probe('read'), async () => {
    await app.database.db.execute(sql`select 1`)
    return {}
  })
}

test('who is refused gets the same answer as from Fastify', async t => {
  const heap = { share: 0.5 }
  const { app, url } = await listen(t, { routes, heap: () => heap.share })
  for (const origin of [ORIGIN, 'https://elsewhere.example', undefined]) {
    const headers = { 'x-request-id': 'abc.1', ...(origin && { origin }) }
    app.lifecycle.phase = 'starting'
    const expected = await fetch(`${url}/ordinary?secret=1`, { headers })
    app.lifecycle.phase = 'serving'
    heap.share = 0.95
    const found = await fetch(`${url}/ordinary?secret=1`, { headers })
    heap.share = 0.5
    t.equal(found.status, 503)
    const allowed =
      origin === ORIGIN ? {} : { 'access-control-allow-credentials': '', 'access-control-expose-headers': '' }
    t.strictSame({ ...headersOf(found), ...allowed }, { ...headersOf(expected), ...allowed })
    t.match(found.headers.get('retry-after'), /^[123]$/)
    t.strictSame(await found.json(), {
      ...((await expected.json()) as object),
      detail: 'There is more to do than can be done at the moment.',
    })
  }
})

/** All but what differs by nature. */
function headersOf(response: Response) {
  const {
    date,
    'content-length': length,
    'retry-after': retry,
    ...rest
  } = Object.fromEntries(response.headers)
  return { ...rest, connection: rest.connection ?? 'keep-alive', 'keep-alive': undefined }
}

test('an id that is not sane is replaced, and a path is never more than text', async t => {
  const { port } = await listen(t, { routes, heap: () => 0.95 })
  const answer = await talk(
    t,
    port,
    'GET /%22"\\<x>?a=b HTTP/1.1\r\nhost: x\r\nx-request-id: a b\r\nconnection: close\r\n\r\n',
  )
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  const { instance, request_id } = JSON.parse(body)
  t.equal(instance, '/%22"\\<x>')
  t.match(request_id, /^[0-9a-f-]{36}$/)
  t.ok(head.includes(`x-request-id: ${request_id}`))
  t.ok(head.includes('connection: close'), 'as the client asked')
})

test('operators and preflights are answered meanwhile', async t => {
  const { url } = await listen(t, { routes, heap: () => 0.95 })
  for (const path of [
    '/health',
    '/health/live',
    '/health/ready',
    '/metrics',
    '/docs',
    '/openapi.json',
    '/problems/conflict',
    '/.well-known/jwks.json',
  ]) {
    t.equal((await fetch(`${url}${path}`)).status, 200, path)
  }
  t.equal((await fetch(`${url}/health-of-others`)).status, 503)
  const preflight = await fetch(`${url}/things`, {
    method: 'OPTIONS',
    headers: { origin: ORIGIN, 'access-control-request-method': 'POST' },
  })
  t.equal(preflight.status, 204)
})

test('below one first segment, all routes are operational or none is', async t => {
  await t.rejects(
    build(t, {
      routes: async app => {
        app.get('/health/of-somebody', probe('ofSomebody'), async () => ({}))
      },
    }),
    { message: 'Of the routes below /health, either all are operational or none is.' },
  )
})

test('a connection whose request was refused goes on as far as it can', async t => {
  const heap = { share: 0.95 }
  const { app, port } = await listen(t, { routes, heap: () => heap.share })
  const post = (headers: string) =>
    `POST /things HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${headers}\r\n\r\n`
  const live = 'GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'

  const small = await talk(t, port, `${post('content-length: 1000')}${'x'.repeat(1000)}${live}`)
  t.strictSame(statuses(small), ['503', '200'], 'a small body is dropped')
  t.notOk(/^connection: close/im.test(small.split('\r\n\r\n')[0] ?? ''))

  for (const headers of ['content-length: 1000000', 'transfer-encoding: chunked']) {
    const large = await talk(t, port, `${post(headers)}10\r\n`, '"request_id"')
    t.strictSame(statuses(large), ['503'], 'before the body is there')
    t.match(large, /connection: close/i)
  }

  const expecting = post('content-length: 2\r\nexpect: 100-continue')
  const refused = await talk(t, port, expecting, '"request_id"')
  t.strictSame(statuses(refused), ['503'], 'the body is not asked for')
  t.match(refused, /connection: close/i)

  const head = await talk(t, port, `HEAD /ordinary HTTP/1.1\r\nhost: x\r\n\r\n${live}`)
  t.strictSame(statuses(head), ['503', '200'])
  t.notOk(head.includes('"unavailable"'), 'HEAD has no body')

  app.lifecycle.phase = 'draining'
  const ending = await talk(t, port, 'GET /ordinary HTTP/1.1\r\nhost: x\r\n\r\n')
  t.strictSame(statuses(ending), ['503'])
  t.match(ending, /connection: close/i, 'and is closed')
  app.lifecycle.phase = 'serving'

  heap.share = 0.5
  const asked = await talk(t, port, expecting, '100 Continue')
  t.strictSame(statuses(asked), ['100'], 'otherwise it is')
})

test('one long turn refuses nobody', async t => {
  const { url } = await listen(t, { routes })
  const all = Array.from({ length: 60 }, () => fetch(`${url}/ordinary`))
  block(400)
  t.ok((await Promise.all(all)).every(({ status }) => status === 200))
})

test('turns that are long again and again are too much, until they are over', async t => {
  const { logger, lines } = recordingLogger('info')
  const { app, url } = await listen(t, { routes, logger })
  const clock = skippingClock(t)
  let refused = 0
  const ask = async (path: string) => {
    const answer = await fetch(`${url}${path}`)
    // Or its connection could not be used again.
    await answer.text()
    return answer.status
  }
  const client = async () => {
    while (refused === 0) if ((await ask('/long')) === 503) refused++
  }
  const all = Array.from({ length: 40 })
  // In a turn, one connection is accepted, and long turns are to begin when there are all of them.
  await Promise.all(all.map(() => ask('/ordinary')))
  await Promise.all(all.map(client))
  t.equal((await fetch(`${url}/health/ready`)).status, 200, 'not for a moment’s overload')
  const figures = await app.metrics.metrics()
  t.match(figures, /plinth_shed_requests_total\{reason="event_loop"\} [1-9]/)
  t.match(figures, /plinth_shed_requests_total\{reason="heap"\} 0/)
  for (const name of ['event_loop_wait_seconds', 'database_wait_seconds', 'heap_survived_ratio'])
    t.match(figures, new RegExp(`^plinth_${name} [0-9.e-]+$`, 'm'))

  clock.skip(1_001)
  while (!lines().some(({ msg }) => msg === 'no longer overloaded')) await sleep(10)
  const told = lines().filter(({ msg }) => msg.includes('overloaded'))
  t.strictSame(
    told.map(({ level, msg }) => [level, msg]),
    [
      [40, 'overloaded: refusing requests'],
      [30, 'no longer overloaded'],
    ],
  )
  t.equal(told[0].reason, 'event_loop')
  t.ok(told[0].event_loop_wait_ms > 20)
  t.ok(told[1].refused >= refused)
  t.notOk(
    lines().some(({ status }) => status === 503),
    'no line for a request',
  )
  t.equal((await fetch(`${url}/ordinary`)).status, 200)
})

// The embedded database has one connection, and ten seconds of patience, which test/lib/overload.test.ts tells.
const pooled = { skip: serverUrl === undefined && 'it takes a pool of connections' }

test('a database that stands still is too much, until it answers', pooled, async t => {
  const { app, url } = await listen(t, { routes })
  const clock = skippingClock(t)
  let release = () => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  const connections = Array.from({ length: testConfig().DATABASE_POOL_SIZE }, () =>
    app.database.db.transaction(() => released),
  )
  const before = app.database.load()
  const waiting = Array.from({ length: 5 }, () => fetch(`${url}/read`))
  while (app.database.load().waiting < 5) await sleep(10)
  let looks = 0
  let look: Response
  // Each looks at a line that has stood still for longer, and not so seldom that it could be another one.
  do {
    look = await fetch(`${url}/ordinary`)
    clock.skip(100)
  } while (look.status === 200 && ++looks < 20)
  t.equal(look.status, 503)
  t.match(await app.metrics.metrics(), /plinth_shed_requests_total\{reason="database"\} 1$/m)
  t.ok(app.database.load().waiting >= 5)
  const { checks } = (await app.inject('/health/ready')).json()
  t.ok(checks.load.latency_ms > 500)

  release()
  await Promise.all(connections)
  t.ok(
    (await Promise.all(waiting)).every(({ status }) => status === 200),
    'who was let in is served',
  )
  t.equal((await fetch(`${url}/ordinary`)).status, 200, 'at once')
  const after = app.database.load()
  t.equal(after.waiting, 0)
  t.ok(after.answered >= before.answered + 5)
})

test('switched off, it is not there', async t => {
  const { app, url } = await listen(t, { routes, heap: () => 0.95, variables: { LOAD_SHEDDING: 'false' } })
  t.equal((await fetch(`${url}/ordinary`)).status, 200)
  t.equal(app.loadShedding, undefined)
  const { checks } = (await app.inject('/health/ready')).json()
  t.notOk('load' in checks)
  t.equal(testConfig().LOAD_SHEDDING, true)
})

test('an overload lasts after five to ten seconds, and is over when nobody is refused', async t => {
  let now = 0
  let reasons: 'heap'[] = ['heap']
  const figures = { event_loop_wait_ms: 0, database_wait_ms: 0, heap_share: 0.95 }
  const told: object[] = []
  const tell = (fields: object) => void told.push(fields)
  const spells = createSpells(
    { reasons: () => reasons, figures: () => figures },
    { warn: tell, info: tell } as Parameters<typeof createSpells>[1],
    () => now,
  )
  t.teardown(() => spells.end())
  t.notOk(spells.isLasting())
  spells.refused('heap')
  spells.refused('heap')
  now = 4_999
  t.notOk(spells.isLasting())
  now = 10_000
  t.ok(spells.isLasting())
  reasons = []
  t.notOk(spells.isLasting())
  spells.look()
  t.strictSame(told, [
    { reason: 'heap', ...figures },
    { refused: 2, duration_ms: 10_000 },
  ])
  reasons = ['heap']
  spells.refused('heap')
  t.notOk(spells.isLasting(), 'another one begins anew')
})

/** What is only waited for need not pass. */
function skippingClock(t: Test) {
  const now = performance.now.bind(performance)
  let skipped = 0
  performance.now = () => now() + skipped
  t.teardown(() => Reflect.deleteProperty(performance, 'now'))
  return {
    skip(duration_ms: number) {
      skipped += duration_ms
    },
  }
}

/** Keeps the event loop from turning. */
function block(duration_ms: number) {
  const until = performance.now() + duration_ms
  while (performance.now() < until);
}

/** Sends bytes, and returns what comes until the other side closes, or this has come. */
function talk(t: Test, port: number, text: string, until?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect({ port, host: '127.0.0.1' }).setEncoding('latin1')
    t.teardown(() => socket.destroy())
    socket.on('error', reject)
    socket.on('data', chunk => {
      received += chunk
      if (until !== undefined && received.includes(until)) resolve(received)
    })
    socket.on('end', () => resolve(received))
    socket.write(text, 'latin1')
  })
}

const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(match => match[1])
