import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { EventEmitter, getEventListeners, once } from 'node:events'
import http from 'node:http'
import type { Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { type Test, test } from 'tap'
import { guardedAgents } from '../../src/lib/guarded-agents.ts'
import { createOutbound, type OutboundOptions } from '../../src/lib/outbound.ts'
import { resolveForTests, TARGETS } from '../domains/webhooks/targets.ts'
import { answering, listening, receiver, response } from './receivers.ts'

const OK = response('ok')
const DENIED = 'The name resolves to an address that is not public.'

function outbound(t: Test, options: Partial<OutboundOptions> = {}) {
  const made = createOutbound({ allow_private: true, ...options })
  t.teardown(made.close)
  const post = (url: string, { body = '{}', time_ms = 10_000, ...rest }: PostOptions = {}) => {
    const { headers = {}, signal } = rest
    return made.post(
      url,
      { headers, body: typeof body === 'string' ? Buffer.from(body) : body },
      signal === undefined ? { time_ms } : { time_ms, signal },
    )
  }
  return { ...made, post }
}

interface PostOptions {
  headers?: Record<string, string>
  body?: string
  time_ms?: number
  signal?: AbortSignal
}

const always = (address: string) => async () => [{ address, family: 4 }]

const closeOf = (socket: Socket | undefined) =>
  new Promise<void>(resolve => {
    if (socket === undefined || socket.closed) resolve()
    else socket.once('close', () => resolve())
  })

test('what may be a target', async t => {
  const { refusal } = outbound(t, { allow_private: false, resolve: resolveForTests })
  t.ok(TARGETS.length >= 60)
  for (const { url, allowed, what } of TARGETS) {
    const told = await refusal(url)
    const name = `${what}: ${url.slice(0, 100)}`
    if (allowed) t.equal(told, undefined, name)
    else t.match(told, /^[A-Z][^.]*[a-z:) ][^.]*\.$/, name)
    t.notMatch(told ?? '', /\d\.\d|127|::|fd00|10\.0/, 'no address is told')
  }
})

test('why it may not', async t => {
  const { refusal } = outbound(t, { allow_private: false, resolve: resolveForTests })
  t.equal(await refusal('http://127.1/'), 'The address is not public.')
  t.equal(await refusal('http://localhost/'), 'The address is not public.')
  t.equal(await refusal('http://both.example/'), DENIED)
  t.equal(await refusal('ftp://public.example/'), 'The URL begins neither with https: nor with http:.')
  t.equal(await refusal('public.example'), 'This is not a URL.')
  t.match(await refusal('https://a:b@public.example/'), /user name or a password/)
  t.match(await refusal('https://public.example/#a'), /fragment/)
  t.match(await refusal(`https://public.example/${'a'.repeat(2_048)}`), /longer than 2048/)
})

test('in development, addresses of any kind may be targets, but not URLs of any kind', async t => {
  const { refusal } = outbound(t, { resolve: resolveForTests })
  for (const host of ['127.0.0.1', 'localhost', '[::1]', 'private.example', '10.0.0.1:8080']) {
    t.equal(await refusal(`http://${host}/`), undefined, host)
  }
  for (const url of ['ftp://127.0.0.1/', 'http://a@127.0.0.1/', 'x', 'http://127.0.0.1/#']) {
    t.type(await refusal(url), 'string', url)
  }
})

test('a name that was public and is not any more leads nowhere', async t => {
  const { port, sockets } = await answering(t, OK)
  const answers = ['93.184.216.34', '127.0.0.1']
  const { refusal, post } = outbound(t, {
    allow_private: false,
    resolve: async () => [{ address: answers.shift() ?? '', family: 4 }],
  })
  const url = `http://rebinding.example:${port}/`
  t.equal(await refusal(url), undefined)
  t.match(await post(url), { status: null, error: DENIED })
  t.equal(answers.length, 0)
  t.equal(sockets.length, 0)
})

test('nor does one that is both, nor an address, however it is written', async t => {
  const { port, sockets } = await answering(t, OK)
  const resolve = (name: string) =>
    name === 'loopback.example' ? always('127.0.0.1')() : resolveForTests(name)
  const { post } = outbound(t, { allow_private: false, resolve })
  for (const name of ['both', 'loopback', 'mapped', 'zone', 'v6-private']) {
    t.match(await post(`http://${name}.example:${port}/`), { status: null, error: DENIED }, name)
    t.match(await post(`https://${name}.example:${port}/`), { status: null, error: DENIED }, name)
  }
  for (const host of ['127.0.0.1', '127.1', '0', 'localhost', 'a.localhost.', '[::1]', '[::ffff:7f00:1]']) {
    const error = 'The address is not public.'
    t.match(await post(`http://${host}:${port}/`), { status: null, error }, host)
    t.match(await post(`https://${host}:${port}/`), { status: null, error }, host)
  }
  t.equal(sockets.length, 0)
})

test('names as the system looks them up', async t => {
  const { port, sockets } = await answering(t, OK)
  const { refusal, post } = outbound(t, { allow_private: false })
  t.equal(await refusal('http://no-such-name.invalid/'), undefined)
  const error = 'The name could not be looked up.'
  t.match(await post('http://no-such-name.invalid/'), { status: null, error })
  t.match(await post(`http://127.0.0.1..:${port}/`), { status: null, error: /./ })
  t.equal(sockets.length, 0)
})

test('the addresses that were judged are those that are used', async t => {
  const { port, wire, sockets } = await answering(t, OK)
  let asked = 0
  const { post } = outbound(t, {
    resolve: async name => {
      t.equal(name, 'hooks.example')
      return asked++ === 0 ? [{ address: '127.0.0.1', family: 4 }] : []
    },
  })
  for (let count = 0; count < 3; count++) {
    t.match(await post(`http://hooks.example:${port}/`), { status: 200, error: null })
  }
  t.equal(asked, 1)
  t.equal(sockets.length, 1)
  t.match(wire(), `host: hooks.example:${port}\r\n`)
})

for (const scheme of ['http:', 'https:']) {
  test(`whoever is there in the end is judged before a byte is sent: ${scheme}`, async t => {
    const { port, sockets, wire } = await answering(t, OK)
    const judged: string[] = []
    const guard = { mayConnect: (address: string) => judged.push(address) < 0, resolve: resolveForTests }
    const { kept, fresh } = guardedAgents(scheme, guard)
    for (const agent of [kept, fresh]) {
      const request = http.request({ host: '127.0.0.1', port, agent, protocol: scheme, method: 'POST' })
      request.end('secret')
      t.match((await once(request, 'error'))[0], { message: 'The address is not public.' })
      await closeOf(sockets.at(-1))
    }
    t.strictSame(judged, ['127.0.0.1', '127.0.0.1'])
    t.equal(wire(), '')
  })
}

test('a name that is looked up for too long', async t => {
  const { refusal, post } = outbound(t, { allow_private: false, resolve: () => new Promise(() => {}) })
  const began = performance.now()
  const [told, attempt] = await Promise.all([
    refusal('https://slow.example/'),
    post('https://slow.example/', { time_ms: 50 }),
  ])
  t.equal(told, undefined)
  t.ok(performance.now() - began < 4_000)
  t.match(attempt, { status: null, error: 'There was no answer within 0.05 s.' })
})

test('what is sent', async t => {
  const { url, wire, port } = await answering(t, OK)
  const { post } = outbound(t)
  const headers = {
    'Content-Type': 'application/json',
    'X-Signature': 'abc',
    Host: 'evil',
    'Content-Length': '1',
  }
  await post(`${url}hook?a=%20#`.slice(0, -1), { headers, body: '{"name":"Žofie"}' })
  t.match(wire(), /^POST \/hook\?a=%20 HTTP\/1\.1\r\n/)
  t.match(wire(), '\r\nContent-Type: application/json\r\nX-Signature: abc\r\n')
  t.match(wire(), `\r\nhost: 127.0.0.1:${port}\r\n`)
  t.match(wire(), '\r\naccept-encoding: identity\r\n')
  t.match(wire(), '\r\ncontent-length: 17\r\n')
  t.notMatch(wire(), /evil|transfer-encoding/i)
  t.match(wire(), Buffer.from('\r\n\r\n{"name":"Žofie"}').toString('latin1'))
})

const answers: [what: string, answer: string, status: number, text: string, error: string | null][] = [
  ['200', OK, 200, 'ok', null],
  ['201 with an empty body', response('', '', '201 Created'), 201, '', null],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 204, '', null],
  ['299', response('x', '', '299 Odd'), 299, 'x', null],
  ['302', response('', 'location: /\r\n', '302 Found'), 302, '', 'A redirect is not followed.'],
  ['304', 'HTTP/1.1 304 Not Modified\r\n\r\n', 304, '', 'A redirect is not followed.'],
  ['404', response('no', '', '404 Not Found'), 404, 'no', 'The answer was 404, not 2xx.'],
  ['500', response('', '', '500 Oh'), 500, '', 'The answer was 500, not 2xx.'],
  ['999', response('', '', '999 Oh'), 999, '', 'The answer was 999, not 2xx.'],
  [
    '100 and 103 before it',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n${OK}`,
    200,
    'ok',
    null,
  ],
  [
    '101',
    'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello',
    101,
    '',
    'The answer was 101, not 2xx.',
  ],
  ['101 to nothing', 'HTTP/1.1 101 Switching\r\n\r\n', 101, '', 'The answer was 101, not 2xx.'],
  ['two answers', OK + response('second', '', '500 Oh'), 200, 'ok', null],
  [
    'a broken chunk',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n',
    200,
    'abc',
    null,
  ],
  [
    'a chunk with an endless extension',
    `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;${'x'.repeat(100_000)}`,
    200,
    '',
    null,
  ],
]

for (const [what, answer, status, text, error] of answers) {
  test(`an answer: ${what}`, async t => {
    const { url } = await answering(t, answer)
    const { post } = outbound(t)
    t.match(await post(url), { status, answer: text, error, retry_after_seconds: undefined })
    t.match(await post(url), { status, answer: text, error }, 'and the next one')
  })
}

test('a redirect to elsewhere leads nobody there', async t => {
  const elsewhere = await answering(t, OK)
  for (const status of ['301 Moved', '302 Found', '303 See Other', '307 Temporary', '308 Permanent']) {
    const { url } = await answering(t, response('', `location: ${elsewhere.url}\r\n`, status))
    const attempt = await outbound(t).post(url)
    t.match(attempt, { status: Number.parseInt(status, 10), error: 'A redirect is not followed.' })
  }
  t.equal(elsewhere.sockets.length, 0)
})

const BROKEN_OFF = 'The connection broke off before an answer.'

const failures: [what: string, handle: (socket: Socket) => void, error: string][] = [
  ['a hang-up at once', socket => socket.destroy(), BROKEN_OFF],
  ['a hang-up when it was asked', socket => socket.once('data', () => socket.end()), BROKEN_OFF],
  ['a reset', socket => socket.once('data', () => socket.resetAndDestroy()), BROKEN_OFF],
  [
    'a hang-up in the middle of headers',
    socket => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nx: ')),
    BROKEN_OFF,
  ],
  ['another protocol', socket => socket.write('SSH-2.0-OpenSSH_9.6\r\n'), 'The answer is not HTTP.'],
  [
    'two lengths',
    socket =>
      socket.once('data', () =>
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'),
      ),
    'The answer is not HTTP.',
  ],
  [
    'endless headers',
    socket => socket.once('data', () => pour(socket, 'HTTP/1.1 200 OK\r\n', `x: ${'x'.repeat(1_000)}\r\n`)),
    'The headers of the answer are too long.',
  ],
  [
    'an endless header',
    socket => socket.once('data', () => pour(socket, 'HTTP/1.1 200 OK\r\nx: ', 'x'.repeat(1_000))),
    'The headers of the answer are too long.',
  ],
  [
    'endless interim answers',
    socket => socket.once('data', () => pour(socket, '', 'HTTP/1.1 103 Hints\r\n\r\n')),
    'There were too many interim answers.',
  ],
]

/** Writes for as long as somebody reads. */
function pour(socket: Socket, beginning: string, piece: string | Buffer) {
  socket.write(beginning)
  const more = () => {
    while (!socket.destroyed && socket.write(piece)) {}
  }
  socket.on('drain', more)
  more()
}

for (const [what, handle, error] of failures) {
  test(`no answer: ${what}`, async t => {
    const { url, sockets } = await receiver(t, handle)
    const attempt = await outbound(t).post(url)
    const { duration_ms, ...told } = attempt
    t.strictSame(told, { status: null, retry_after_seconds: undefined, answer: '', error })
    t.ok(duration_ms < 5_000)
    t.equal(sockets.length, 1, 'it is not tried again')
    await closeOf(sockets[0])
  })
}

test('nobody there', async t => {
  const { server, url } = await answering(t, OK)
  server.close()
  await once(server, 'close')
  t.match(await outbound(t).post(url), { status: null, error: 'The connection was refused.' })
})

test('several addresses, of which only the last answers', async t => {
  const { port } = await answering(t, OK)
  const { post } = outbound(t, {
    resolve: async () => [
      { address: '127.0.0.2', family: 4 },
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ],
  })
  t.match(await post(`http://hooks.example:${port}/`), { status: 200 })
})

test('a request that cannot be made', async t => {
  const { url, sockets } = await answering(t, OK)
  const { post } = outbound(t)
  const error = 'The request could not be sent.'
  for (const headers of [{ 'a b': 'x' }, { x: 'a\r\nb: c' }, { x: 'Ž' }, { x: undefined as never }]) {
    t.match(await post(url, { headers }), { status: null, error })
  }
  for (const odd of [null, 3, {}]) {
    t.match(await post(odd as never), { status: null, error: /\.$/ })
    t.match(await post(url, { body: odd as never }), { status: null, error })
  }
  t.match(await post('x'), { status: null, error: 'This is not a URL.' })
  t.match(await post('http://a:b@127.0.0.1/'), { status: null, error: /password/ })
  t.equal(sockets.length, 0)
})

test('headers that trickle in do not prolong the time', async t => {
  const { url, sockets } = await receiver(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => socket.write('x: y\r\n'), 5)
    socket.once('close', () => clearInterval(timer))
  })
  const attempt = await outbound(t).post(url, { time_ms: 100 })
  t.match(attempt, { status: null, error: 'There was no answer within 0.1 s.' })
  t.ok(attempt.duration_ms >= 95 && attempt.duration_ms < 2_000)
  await closeOf(sockets[0])
})

test('a body that is late does not change the answer', async t => {
  const { url, sockets } = await answering(t, 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')
  const { post } = outbound(t)
  const [short, long] = await Promise.all([post(url, { time_ms: 100 }), post(url)])
  t.match(short, { status: 200, answer: 'abc', error: null })
  t.ok(short.duration_ms >= 95 && short.duration_ms < 1_500)
  t.match(long, { status: 200, answer: 'abc', error: null })
  t.ok(long.duration_ms >= 1_950 && long.duration_ms < 4_000)
  await Promise.all(sockets.map(closeOf))
})

test('nor does one that breaks off', async t => {
  const head = 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'
  const ended = await receiver(t, socket => socket.once('data', () => socket.end(head)))
  const reset = await receiver(t, socket =>
    socket.once('data', () => socket.write(head, () => socket.resetAndDestroy())),
  )
  for (const { url } of [ended, reset]) t.match(await outbound(t).post(url), { status: 200, error: null })
})

test('of a large body only the beginning is read', async t => {
  const large = await answering(t, response('x'.repeat(10_000_000)))
  const endless = await receiver(t, socket =>
    socket.once('data', () => pour(socket, 'HTTP/1.1 500 Oh\r\n\r\n', Buffer.alloc(65_536, 'x'))),
  )
  const { post } = outbound(t)
  t.match(await post(large.url), { status: 200, answer: 'x'.repeat(1_024), error: null })
  t.match(await post(endless.url), { status: 500, answer: 'x'.repeat(1_024) })
  await Promise.all([...large.sockets, ...endless.sockets].map(closeOf))
})

const texts: [what: string, body: Buffer, answer: string][] = [
  ['NUL', Buffer.from('a\0b'), 'a\ufffdb'],
  ['bytes that are no UTF-8', Buffer.from([0x61, 0xff, 0xfe, 0x62]), 'a\ufffd\ufffdb'],
  ['a character that the receiver cut', Buffer.from([0x61, 0xf0, 0x9f, 0x90]), 'a\ufffd'],
  ['a character that we cut', Buffer.from(`${'x'.repeat(1_022)}🐎`), 'x'.repeat(1_022)],
  ['a character that just fits', Buffer.from(`${'x'.repeat(1_020)}🐎more`), `${'x'.repeat(1_020)}🐎`],
  ['encoded surrogates', Buffer.from([0xed, 0xa0, 0x80]), '\ufffd\ufffd\ufffd'],
]

for (const [what, body, answer] of texts) {
  test(`the text of an answer: ${what}`, async t => {
    const head = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`
    const { url } = await answering(t, Buffer.concat([Buffer.from(head), body]))
    t.equal((await outbound(t).post(url)).answer, answer)
  })
}

test('what is packed stays packed', async t => {
  const bomb = gzipSync(Buffer.alloc(10_000_000))
  const head = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`
  const { url } = await answering(t, Buffer.concat([Buffer.from(head), bomb]))
  const { answer } = await outbound(t).post(url)
  t.ok(answer.length <= 1_024)
  t.notMatch(answer, '\0')
})

const inSeconds = (seconds: number) => () => new Date(Date.now() + seconds * 1_000).toUTCString()

const delays: [what: string, value: () => string, least: number | undefined, most?: number][] = [
  ['a date', inSeconds(90), 88, 90],
  ['a date that is over', inSeconds(-90), undefined],
  ['none', () => '', undefined],
  ...['-1', '1.5', '1e3', '0x10', 'soon', '2099-01-01', 'x GMT', '9'.repeat(30)].map(
    (value): [string, () => string, undefined] => [value, () => value, undefined],
  ),
  ['0', () => '0', 0],
  ['120', () => '120', 120],
  ['spaces around it', () => ' 7 ', 7],
]

for (const [what, value, least, most = least] of delays) {
  test(`Retry-After: ${what}`, async t => {
    const { url } = await answering(t, response('', `retry-after: ${value()}\r\n`, '503 Later'))
    const { retry_after_seconds: told } = await outbound(t).post(url)
    if (least === undefined || most === undefined) t.equal(told, undefined)
    else t.ok(told !== undefined && told >= least && told <= most, String(told))
  })
}

test('stopped while it waits, and before it begins', async t => {
  const arrived = new EventEmitter()
  const { url, sockets } = await receiver(t, socket => socket.once('data', () => arrived.emit('request')))
  const { post } = outbound(t)
  const stop = new AbortController()
  const waiting = post(url, { signal: stop.signal })
  await once(arrived, 'request')
  stop.abort()
  const error = 'The service is stopping.'
  t.match(await waiting, { status: null, error })
  await closeOf(sockets[0])
  t.match(await post(url, { signal: stop.signal }), { status: null, error })
  t.equal(sockets.length, 1)
})

test('stopped while the body is read, the answer stands', async t => {
  const { url } = await answering(t, 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')
  const stop = new AbortController()
  const onHead = () => setImmediate(() => stop.abort())
  subscribe('http.client.response.finish', onHead)
  t.teardown(() => unsubscribe('http.client.response.finish', onHead))
  const attempt = await outbound(t).post(url, { signal: stop.signal })
  t.match(attempt, { status: 200, answer: 'abc', error: null })
  t.ok(attempt.duration_ms < 1_500)
})

test('nothing is left behind', async t => {
  const { url } = await answering(t, OK)
  const silent = await receiver(t, () => {})
  const { post, close } = outbound(t)
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  const timers = () => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
  const before = timers()
  const { signal } = new AbortController()
  await Promise.all(
    Array.from({ length: 60 }, (_, index) =>
      post(index % 3 === 0 ? silent.url : url, { signal, time_ms: index % 3 === 0 ? 50 : 10_000 }),
    ),
  )
  close()
  await Promise.all(silent.sockets.map(closeOf))
  await new Promise(setImmediate)
  process.off('warning', onWarning)
  t.equal(getEventListeners(signal, 'abort').length, 0)
  t.ok(timers() <= before)
  t.strictSame(warnings, [])
})

test('connections are used again, a few are kept idle, and none after the end', async t => {
  const { url, sockets } = await answering(t, OK)
  const { post, close } = outbound(t)
  for (let count = 0; count < 20; count++) t.match(await post(url), { status: 200 })
  t.equal(sockets.length, 1)
  await Promise.all(Array.from({ length: 12 }, () => post(url)))
  t.equal(sockets.length, 12)
  while (sockets.filter(({ closed }) => !closed).length > 4) await new Promise(setImmediate)
  close()
  await Promise.all(sockets.map(closeOf))
  await post(url)
  t.equal(sockets.length, 13)
  await closeOf(sockets[12])
})

test('many hosts do not keep many connections', async t => {
  const { port, sockets } = await answering(t, OK)
  const { post } = outbound(t, { resolve: always('127.0.0.1') })
  for (let host = 0; host < 120; host++) await post(`http://host${host}.example:${port}/`)
  t.equal(sockets.length, 120)
  await Promise.all(sockets.slice(100).map(closeOf))
  t.equal(sockets.filter(({ closed }) => closed).length, 20)
})

test('a kept connection that the receiver has just closed costs nothing', async t => {
  const { url, sockets, wire } = await receiver(t, socket => {
    socket.once('data', () => {
      socket.write(OK)
      socket.once('data', () => socket.destroy())
    })
  })
  const { post } = outbound(t)
  t.match(await post(url), { status: 200 })
  t.match(await post(url), { status: 200, error: null })
  t.equal(sockets.length, 2)
  t.equal(wire().match(/POST/g)?.length, 3)
})

test('it is tried again once, and not when an answer had begun', async t => {
  let connections = 0
  const closing = await receiver(t, socket => {
    if (++connections > 1) socket.once('data', () => socket.destroy())
    else socket.once('data', () => socket.write(OK, () => socket.once('data', () => socket.destroy())))
  })
  const begun = await receiver(t, socket => {
    socket.once('data', () => {
      socket.write(OK)
      socket.once('data', () => socket.end('HTTP/1.1 2'))
    })
  })
  const { post } = outbound(t)
  for (const { url } of [closing, begun]) {
    t.match(await post(url), { status: 200 })
    t.match(await post(url), { status: null, error: BROKEN_OFF })
  }
  t.equal(closing.sockets.length, 2)
  t.equal(begun.sockets.length, 1)
})

test('who talks on an idle connection is hung up on, and not believed', async t => {
  const { url, sockets } = await answering(t, OK)
  const { post } = outbound(t)
  t.match(await post(url), { answer: 'ok' })
  const [socket] = sockets
  socket?.write(response('planted'))
  await closeOf(socket)
  t.match(await post(url), { answer: 'ok' })
  t.equal(sockets.length, 2)
})

test('an answer that comes before all was sent counts, and its connection goes', async t => {
  const { url, sockets } = await receiver(t, socket => {
    socket.pause()
    socket.write(response('enough', '', '413 Too Large'))
  })
  const attempt = await outbound(t).post(url, { body: 'x'.repeat(20_000_000) })
  t.match(attempt, { status: 413, answer: 'enough' })
  sockets[0]?.resume()
  await closeOf(sockets[0])
})

test('a real server of HTTP', async t => {
  const bodies: string[] = []
  const server = http.createServer(async (request, answer) => {
    let body = ''
    for await (const chunk of request) body += chunk
    bodies.push(body)
    answer.statusCode = 202
    answer.end('taken')
  })
  const { url, sockets } = await listening(t, server)
  const { post } = outbound(t)
  for (const body of ['', 'a', 'x'.repeat(300_000)]) {
    t.match(await post(url, { body }), { status: 202, answer: 'taken', error: null })
  }
  t.strictSame(
    bodies.map(body => body.length),
    [0, 1, 300_000],
  )
  t.equal(sockets.length, 1)
})
