import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { type Test, test } from 'tap'
import { drain, trackConnections } from '../../src/lib/drain.ts'

const times = { delayMs: 0, idleMs: 0, graceMs: 5_000 }

async function serve(t: Test, handler: Parameters<typeof createServer>[1]) {
  const server = createServer({ keepAliveTimeout: 60_000 }, handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.closeAllConnections())
  const connections = trackConnections(server)
  return {
    server,
    end: (over: Partial<typeof times> = {}) => drain(server, connections, { ...times, ...over }),
  }
}

async function open(server: Server) {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

test('a request in flight is finished', async t => {
  let finish = () => {}
  const { server, end } = await serve(t, (_request, response) => {
    finish = () => response.end('done')
  })
  const arrived = once(server, 'request')
  const socket = await open(server)
  socket.write(REQUEST)
  await arrived
  const { port } = server.address() as AddressInfo
  const drained = end()
  while (server.listening) await new Promise(setImmediate)
  const late = connect(port, '127.0.0.1')
  t.match((await once(late, 'error'))[0], { code: /ECONNREFUSED|ECONNRESET/ }, 'nobody new is let in')
  finish()
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /done/)
  t.equal(await drained, 0)
})

test('an idle connection may still send what was on its way, within its time', async t => {
  const { server, end } = await serve(t, (_request, response) =>
    response.setHeader('connection', 'close').end('late'),
  )
  const socket = await open(server)
  const drained = end({ idleMs: 4_000 })
  socket.write(REQUEST)
  t.match(String((await once(socket, 'data'))[0]), /late/)
  t.equal(await drained, 0)
})

test('idle connections are closed when their time is over', async t => {
  const { server, end } = await serve(t, (_request, response) => response.end('x'))
  const used = await open(server)
  used.write(REQUEST)
  await once(used, 'data')
  t.equal(await end(), 0)
})

test('what does not end in time is cut and counted', async t => {
  const { server, end } = await serve(t, () => {})
  const socket = await open(server)
  const arrived = once(server, 'request')
  socket.write(REQUEST)
  await arrived
  const closed = once(socket, 'close')
  t.equal(await end({ graceMs: 100 }), 1)
  await closed
})

test('a connection that has asked nothing does not keep anybody waiting', async t => {
  const { server, end } = await serve(t, (_request, response) => response.end('x'))
  const arrived = once(server, 'connection')
  const silent = await open(server)
  await arrived
  const closed = once(silent, 'close')
  t.equal(await end(), 0)
  await closed
})
