import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type Test, test } from 'tap'
import { byDns, bySystem } from '../../src/lib/name-lookup.ts'

const TYPES = { 1: 'A', 28: 'AAAA' } as Record<number, string>

/** A server of names that answers what it knows, and to all else not at all. */
async function nameServer(t: Test, addresses: Record<string, number[][]>) {
  const server = createSocket('udp4')
  const asked: string[] = []
  server.on('message', (query, { port, address }) => {
    const labels: string[] = []
    let at = 12
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
    const type = query.readUInt16BE(at + 1)
    const question = `${labels.join('.')} ${TYPES[type]}`
    asked.push(question)
    const known = addresses[question]
    if (known === undefined) return
    const answers = known.map(bytes => {
      const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, bytes.length])
      return Buffer.concat([head, Buffer.from(bytes)])
    })
    const header = Buffer.concat([
      query.subarray(0, 2),
      Buffer.from([0x81, 0x80, 0, 1, 0, known.length, 0, 0, 0, 0]),
    ])
    server.send(Buffer.concat([header, query.subarray(12, at + 5), ...answers]), port, address)
  })
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { asked, resolve: byDns([`127.0.0.1:${server.address().port}`]) }
}

const LOOPBACK_6 = [...Array(15).fill(0), 1]

test('a name has the addresses of both kinds, and what is not there is no error', async t => {
  const { resolve } = await nameServer(t, {
    'both.example A': [
      [192, 0, 2, 1],
      [192, 0, 2, 2],
    ],
    'both.example AAAA': [LOOPBACK_6],
    'old.example A': [[192, 0, 2, 3]],
    'old.example AAAA': [],
    'empty.example A': [],
    'empty.example AAAA': [],
  })
  t.strictSame(await resolve('both.example'), [
    { address: '192.0.2.1', family: 4 },
    { address: '192.0.2.2', family: 4 },
    { address: '::1', family: 6 },
  ])
  t.strictSame(await resolve('old.example'), [{ address: '192.0.2.3', family: 4 }])
  t.strictSame(await resolve('empty.example'), [])
})

test('names that are never answered do not hold up another', async t => {
  const { resolve, asked } = await nameServer(t, {
    'quick.example A': [[192, 0, 2, 1]],
    'quick.example AAAA': [],
  })
  let slow = 0
  for (let number = 0; number < 50; number++) {
    resolve(`slow${number}.example`).then(() => slow++)
  }
  t.strictSame(await resolve('quick.example'), [{ address: '192.0.2.1', family: 4 }])
  t.ok(asked.some(question => question.startsWith('slow')))
  t.equal(slow, 0)
})

test('the file of hosts counts for the system alone', async t => {
  t.ok((await bySystem('localhost')).length > 0)
})
