import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type Test, test } from 'tap'
import { databaseVariables, serverUrl } from '../database.ts'
import { CHEAP, newcomer } from '../domains/auth/people.ts'
import { startServer } from '../processes.ts'

const COMMITTED = Buffer.from('C\0\0\0\x0bCOMMIT\0')

/** Passes on all that service and database say to each other, until an answer to keep has been committed. */
async function proxyTo(t: Test, database: string, committed: () => void): Promise<string> {
  const url = new URL(database)
  const { hostname, port } = url
  const server = createServer(service => {
    let keeps = false
    const upstream = connect(Number(port || 5432), hostname)
    service.on('data', bytes => {
      keeps ||= bytes.includes('update idempotency_keys set answer')
      upstream.write(bytes)
    })
    upstream.on('data', bytes => {
      if (keeps && bytes.includes(COMMITTED)) committed()
      else service.write(bytes)
    })
    for (const [from, to] of [
      [service, upstream],
      [upstream, service],
    ] as const) {
      from.on('close', () => to.destroy())
      from.on('error', () => to.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return url.href
}

/** A service that is killed when it has committed, before it has answered; and the variables of one that is not. */
async function mortal(t: Test) {
  const variables = { ...CHEAP, WORKER: 'false', ...(await databaseVariables(t)) } as Record<string, string>
  if (serverUrl === undefined) {
    return { doomed: await startServer(t, variables, 'test/idempotency/killed-server.ts'), variables }
  }
  let kill = () => {}
  const DATABASE_URL = await proxyTo(t, variables.DATABASE_URL ?? '', () => kill())
  const doomed = await startServer(t, { ...variables, DATABASE_URL })
  kill = () => doomed.child.kill('SIGKILL')
  return { doomed, variables }
}

test('killed between the commit and the answer, it gives the answer when it is asked again', async t => {
  const { doomed, variables } = await mortal(t)
  const request = {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
    body: JSON.stringify(newcomer()),
  }
  await t.rejects(fetch(`${doomed.url}/api/v1/auth/register`, request))
  t.equal((await doomed.exit).signal, 'SIGKILL')

  const next = await startServer(t, variables)
  const again = await fetch(`${next.url}/api/v1/auth/register`, request)
  t.equal(again.status, 201)
  t.equal(again.headers.get('idempotency-replayed'), 'true')
  const { access_token, user } = (await again.json()) as { access_token: string; user: { id: string } }

  const headers = { authorization: `Bearer ${access_token}` }
  const sessions = await fetch(`${next.url}/api/v1/auth/sessions`, { headers })
  t.equal(((await sessions.json()) as { data: unknown[] }).data.length, 1)
  // It is an account like any: the key did not stand in for one.
  const me = await fetch(`${next.url}/api/v1/users/me`, { headers })
  t.match(await me.json(), { id: user.id })
  const afresh = { ...request, headers: { 'content-type': 'application/json' } }
  t.equal((await fetch(`${next.url}/api/v1/auth/register`, afresh)).status, 409)
})
