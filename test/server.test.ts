import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { test } from 'tap'
import { createServerDatabase, databaseVariables, serverUrl } from './database.ts'
import { run, startServer, temporaryDirectory } from './processes.ts'

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

async function answer(socket: Socket, bytes: string | Buffer): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  socket.write(bytes)
  await once(socket, 'close')
  return Buffer.concat(chunks).toString()
}

test('it starts with nothing set, migrates, answers, and ends in order', async t => {
  const server = await startServer(t, await databaseVariables(t, { empty: true }))
  const ready = await fetch(`${server.url}/health/ready`)
  t.equal(ready.status, 200)
  t.match(await ready.json(), { checks: { migrations: { status: 'ok' } } })
  t.ok(await server.logged('migrated'))
  server.child.kill('SIGTERM')
  t.strictSame(await server.exit, { code: 0, signal: null })
  t.match(server.output(), /"msg":"stopped"/)
})

test('while it stops, readiness says so, and a request that has begun is finished', async t => {
  const server = await startServer(t, { ...(await databaseVariables(t)), SHUTDOWN_DELAY_SECONDS: '0.5' })
  const agent = new Agent({ keepAlive: true })
  const slow = await open(server.port)
  slow.write('GET /health HTTP/1.1\r\nHost:')
  server.child.kill('SIGTERM')
  await server.logged('stopping')
  const probe = get({ port: server.port, path: '/health/ready', agent })
  const [response] = (await once(probe, 'response')) as [IncomingMessage]
  t.equal(response.statusCode, 503)
  t.equal(response.headers.connection, 'close')
  response.resume()
  const finished = await answer(slow, ' x\r\n\r\n')
  t.match(finished, /^HTTP\/1\.1 200 /)
  t.match(finished, /connection: close/i)
  t.equal((await server.exit).code, 0)
})

test('a second signal ends it at once', async t => {
  const server = await startServer(t, {
    ...(await databaseVariables(t)),
    SHUTDOWN_DELAY_SECONDS: '60',
    SHUTDOWN_GRACE_SECONDS: '90',
  })
  server.child.kill('SIGTERM')
  await server.logged('stopping')
  const insist = setInterval(() => server.child.kill('SIGTERM'), 20)
  t.teardown(() => clearInterval(insist))
  t.equal((await server.exit).code, 1)
})

test('what hangs is cut when the time is over', async t => {
  const server = await startServer(t, { ...(await databaseVariables(t)), SHUTDOWN_GRACE_SECONDS: '0.2' })
  const slow = await open(server.port)
  slow.on('error', () => {})
  slow.write('GET /health HTTP/1.1\r\nHost:')
  server.child.kill('SIGTERM')
  t.equal((await server.exit).code, 0)
})

test('a port that is taken is one clear sentence', async t => {
  const server = await startServer(t, await databaseVariables(t))
  const second = run(t, 'src/server.ts', { ...(await databaseVariables(t)), PORT: String(server.port) })
  t.equal((await second.exit).code, 69)
  t.match(second.output(), `Port ${server.port} is in use`)
})

test('a configuration at fault is reported whole, without values, and ends with 78', async t => {
  const server = run(t, 'src/server.ts', { PORT: 'planted', LOG_LEVEL: 'planted', DATABASE_URL: 'planted' })
  t.equal((await server.exit).code, 78)
  for (const name of ['PORT', 'LOG_LEVEL', 'DATABASE_URL']) t.match(server.output(), name)
  t.notMatch(server.output(), /planted/)
})

test('production refuses to start without a database and a secret', async t => {
  const server = run(t, 'src/server.ts', { NODE_ENV: 'production' })
  t.equal((await server.exit).code, 78)
  t.match(server.output(), /DATABASE_URL is required.*\n.*JWT_SECRET_KEY is required/)
})

test('bytes that are no request are a problem, and the process lives', async t => {
  const server = await startServer(t, { ...(await databaseVariables(t)), REQUEST_TIMEOUT_SECONDS: '1' })
  const cases: [string, string | Buffer, string, string][] = [
    ['nonsense', 'hello\r\n\r\n', '400', 'malformed_request'],
    ['a TLS handshake', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), '400', 'malformed_request'],
    ['an invented method', 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n', '400', 'malformed_request'],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      '400',
      'malformed_request',
    ],
    [
      'headers above 128 KiB',
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(140_000)}\r\n\r\n`,
      '431',
      'headers_too_large',
    ],
    [
      'a URL above 16 KiB',
      `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      '414',
      'uri_too_long',
    ],
    ['no host', 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', '400', 'malformed_request'],
    [
      'two hosts',
      'GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n',
      '400',
      'malformed_request',
    ],
    [
      'a host that is none',
      'GET /health HTTP/1.1\r\nHost: a b/c@d\r\nConnection: close\r\n\r\n',
      '400',
      'malformed_request',
    ],
    [
      'an expectation',
      'GET /health HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n',
      '417',
      'expectation_failed',
    ],
    ['a tunnel', 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n', '405', 'method_not_allowed'],
    ['headers that never end', 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow:', '408', 'request_timeout'],
  ]
  for (const [name, bytes, status, code] of cases) {
    const text = await answer(await open(server.port), bytes)
    t.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), name)
    t.match(text, /content-type: application\/problem\+json/i, name)
    t.match(text, /connection: close/i, name)
    const body = JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4))
    t.equal(body.code, code, name)
    t.match(text, new RegExp(`x-request-id: ${body.request_id}`, 'i'), name)
  }
  t.equal((await fetch(`${server.url}/health`)).status, 200)
})

test('a fault behind a good request waits for its answer', async t => {
  const server = await startServer(t, await databaseVariables(t))
  const text = await answer(
    await open(server.port),
    'GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\nGARBAGE\r\n\r\n',
  )
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)
  t.strictSame(statuses, ['200', '400'])
})

test('SIGHUP ends a process in order, as when its terminal is closed', async t => {
  const server = await startServer(t, await databaseVariables(t))
  server.child.kill('SIGHUP')
  t.equal((await server.exit).code, 0)
})

test('no secret reaches the log of a whole run', async t => {
  const secrets = {
    DATABASE_URL:
      serverUrl === undefined
        ? ''
        : (await createServerDatabase(t)).replace('root@', 'root:planted-database@'),
    JWT_SECRET_KEY: 'planted-jwt-kX3v9QmZt7LrB2nWc8HsYd4FgJp6',
    MAIL_PASSWORD: 'planted-mail',
    REDIS_URL: 'redis://:planted-redis@127.0.0.1:1',
  }
  const server = await startServer(t, { ...(await databaseVariables(t)), ...secrets, LOG_LEVEL: 'trace' })
  const headers = {
    authorization: 'Bearer planted-token',
    cookie: 'session=planted-cookie',
    'x-api-key': 'planted-key',
    'content-type': 'application/json',
  }
  const requests: [string, RequestInit][] = [
    ['/health?token=planted-query', {}],
    ['/health/ready', {}],
    ['/nowhere?password=planted-query', { method: 'POST', body: '{"password":"planted-body"}' }],
    ['/health', { method: 'POST', body: '{"password":"planted-body' }],
    ['/problems/x?y=%zz&z=planted-query', {}],
  ]
  for (const [path, init] of requests) {
    const response = await fetch(server.url + path, { ...init, headers })
    t.notMatch(await response.text(), /planted/)
  }
  const broken = await answer(
    await open(server.port),
    'GET /planted-line HTTP/9.9\r\nAuthorization: planted\r\n\r\n',
  )
  t.notMatch(broken, /planted/)
  server.child.kill('SIGTERM')
  await server.exit
  t.ok(
    server
      .output()
      .split('\n')
      .filter(line => line.includes('"msg":"request"')).length >= 5,
  )
  t.notMatch(server.output(), /planted/)
})

test('a worker stays until it is told to go', async t => {
  if (serverUrl === undefined) {
    const worker = run(t, 'src/worker.ts', { DATA_DIR: temporaryDirectory(t) })
    t.equal((await worker.exit).code, 78)
    t.match(worker.output(), /needs DATABASE_URL/)
    return
  }
  const worker = run(t, 'src/worker.ts', await databaseVariables(t))
  await worker.logged('worker ready')
  worker.child.kill('SIGTERM')
  t.equal((await worker.exit).code, 0)
})
