import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type ServerOptions } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { type Attempt, createOutbound } from '../../src/lib/outbound.ts'
import { packageRoot } from '../../src/lib/package.ts'
import { temporaryDirectory } from '../temporary-directory.ts'
import { answering, listening, receiver, response } from './receivers.ts'

const without =
  spawnSync('openssl', ['version']).status === 0 ? {} : { skip: 'openssl makes the certificates' }

/** Signed by itself, for hooks.example. */
function certificate(t: Test) {
  const directory = temporaryDirectory(t)
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const names = ['-subj', '/CN=hooks.example', '-addext', 'subjectAltName=DNS:hooks.example']
  const files = ['-keyout', key, '-out', cert]
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, ...files], { stdio: 'ignore' })
  return { path: cert, options: { key: readFileSync(key), cert: readFileSync(cert) } }
}

async function secureReceiver(t: Test, options: ServerOptions) {
  const requests: { servername: unknown }[] = []
  const server = createServer(options, (request, answer) => {
    const socket = request.socket as TLSSocket
    requests.push({ servername: socket.servername })
    // The third finds its connection closed, as happens to one that was kept for long.
    if (requests.length === 3) socket.destroy()
    else answer.end('ok')
  })
  return { ...(await listening(t, server, 'https')), requests }
}

const local = async () => [{ address: '127.0.0.1', family: 4 }]

function outbound(t: Test) {
  const made = createOutbound({ allow_private: true, resolve: local })
  t.teardown(made.close)
  return (url: string) => made.post(url, { headers: {}, body: Buffer.from('{}') }, { time_ms: 5_000 })
}

test('a certificate that nobody vouches for', without, async t => {
  const { port, requests } = await secureReceiver(t, certificate(t).options)
  const post = outbound(t)
  for (const host of ['hooks.example', '127.0.0.1']) {
    const error = 'The certificate is not good: DEPTH_ZERO_SELF_SIGNED_CERT.'
    t.match(await post(`https://${host}:${port}/`), { status: null, error })
  }
  t.equal(requests.length, 0)
})

test('no TLS where there should be, and the other way round', without, async t => {
  const { port } = await secureReceiver(t, certificate(t).options)
  const plain = await answering(t, response('ok'))
  const silent = await receiver(t, socket => socket.once('data', () => socket.end()))
  const post = outbound(t)
  const broken = 'The connection broke off before an answer.'
  t.match(await post(`http://127.0.0.1:${port}/`), { status: null, error: broken })
  t.match(await post(`https://127.0.0.1:${plain.port}/`), { error: 'There was no agreement on TLS.' })
  t.match(await post(`https://127.0.0.1:${silent.port}/`), { status: null, error: broken })
})

/** Trusted certificates are read when a process starts. */
const CHILD = `
  import { createOutbound } from './src/lib/outbound.ts'
  const { post } = createOutbound({ allow_private: true, resolve: async () => [{ address: "127.0.0.1", family: 4 }] })
  const attempts = []
  for (const url of process.argv.slice(1)) {
    attempts.push(await post(url, { headers: {}, body: Buffer.from('{}') }, { time_ms: 5_000 }))
  }
  console.log(JSON.stringify(attempts))
`

test('a certificate that is trusted, and for which names', without, async t => {
  const { path, options } = certificate(t)
  const { port, requests, sockets } = await secureReceiver(t, options)
  const [good, bad] = [`https://hooks.example:${port}/`, `https://other.example:${port}/`]
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import=tsx', '--input-type=module', '-e', CHILD, good, good, good, bad, `https://127.0.0.1:${port}/`],
    {
      cwd: packageRoot,
      // The second switches verification off, for everybody who does not insist on it.
      env: { ...process.env, NODE_EXTRA_CA_CERTS: path, NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    },
  )
  const attempts: Attempt[] = JSON.parse(stdout)
  const ok = { status: 200, answer: 'ok', error: null }
  const otherName = { status: null, error: 'The certificate is not good: ERR_TLS_CERT_ALTNAME_INVALID.' }
  t.match(attempts, [ok, ok, ok, otherName, otherName])
  t.strictSame(
    requests.map(({ servername }) => servername),
    Array(4).fill('hooks.example'),
  )
  t.equal(sockets.length, 4, 'one that was kept, a fresh one, and one for each wrong name')
})
