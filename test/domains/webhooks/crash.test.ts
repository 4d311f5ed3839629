import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { Webhook as Verifier } from 'standardwebhooks'
import { type Test, test } from 'tap'
import type { WebhookDelivery } from '../../../src/domains/webhooks/schemas.ts'
import { databaseVariables, serverUrl } from '../../database.ts'
import { type Process, run, startServer } from '../../processes.ts'
import { CHEAP, newcomer } from '../auth/people.ts'

const WEBHOOKS = 6
const EVENTS = 10

/** Among the sixty deliveries; the ones under way then are lost with who sends them, and sent again. */
const DEATH_AFTER = 15

interface Hook {
  id: string
  secret: string
  path: string
}

test('killed with SIGKILL among deliveries, it loses none', async t => {
  const variables: Record<string, string> = {
    ...CHEAP,
    WEBHOOK_ALLOW_PRIVATE: 'true',
    ...(await databaseVariables(t)),
  }
  const receiver = run(t, 'test/domains/webhooks/receiver-process.ts', { HOLD_AFTER: String(DEATH_AFTER) })
  const { port } = await receiver.logged('listening')
  const web = { ...variables, WORKER: String(serverUrl === undefined) }
  const server = await startServer(t, web)
  const call = await caller(server.url)
  const hooks: Hook[] = []
  for (let number = 1; number <= WEBHOOKS; number++) {
    const path = `/${number}`
    const url = `http://127.0.0.1:${port}${path}`
    const { id, secret } = await call('POST', '/webhooks', { url, types: ['item.created'] })
    hooks.push({ id, secret, path })
  }
  const workers = serverUrl === undefined ? [] : await startWorkers(t, variables)
  for (let number = 1; number <= EVENTS; number++) await call('POST', '/items', { title: `Lamp ${number}` })

  await receiver.logged('received', { number: DEATH_AFTER + 1 })
  const victim = workers.find(({ output }) => output().includes('webhook delivered')) ?? server
  victim.child.kill('SIGKILL')
  t.equal((await victim.exit).signal, 'SIGKILL')
  receiver.child.stdin?.write('go on\n')
  const url = serverUrl === undefined ? (await startServer(t, web)).url : server.url
  if (variables.DATABASE_URL !== undefined) await outliveLeases(variables.DATABASE_URL)

  const reader = call.at(url)
  const ids = new Set<string>()
  for (const hook of hooks) {
    const deliveries = await allDelivered(() => reader('GET', `/webhooks/${hook.id}/deliveries?per_page=100`))
    t.equal(deliveries.length, EVENTS)
    const messages = messagesOf(receiver, hook)
    for (const { id } of deliveries) {
      ids.add(id)
      t.ok(messages.some(({ headers }) => headers['webhook-id'] === id))
    }
    for (const { body, headers } of messages) t.ok(new Verifier(hook.secret).verify(body, headers))
  }
  t.equal(ids.size, EVENTS)
})

async function startWorkers(t: Test, variables: Record<string, string>): Promise<Process[]> {
  const workers = [1, 2].map(() => run(t, 'src/worker.ts', variables))
  await Promise.all(workers.map(({ logged }) => logged('worker ready')))
  return workers
}

/** Somebody who is signed in. */
async function caller(url: string) {
  const headers = { 'content-type': 'application/json' }
  const registered = await fetch(`${url}/api/v1/auth/register`, {
    method: 'POST',
    headers,
    body: JSON.stringify(newcomer()),
  })
  const { access_token } = (await registered.json()) as { access_token: string }
  const at = (base: string) => async (method: string, path: string, body?: object) => {
    const answer = await fetch(`${base}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${access_token}`, ...(body && headers) },
      ...(body && { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(await answer.text())
    // biome-ignore lint/suspicious/noExplicitAny: whatever the service answers
    return answer.json() as Promise<any>
  }
  return Object.assign(at(url), { at })
}

/** As if the time had passed after which a process is given up for dead. */
async function outliveLeases(url: string) {
  const sql = postgres(url, { max: 1 })
  await sql`update webhooks set leased_until = now() where lease is not null`
  await sql.end()
}

async function allDelivered(list: () => Promise<{ data: WebhookDelivery[] }>) {
  for (;;) {
    const { data } = await list()
    if (data.length === EVENTS && data.every(({ status }) => status === 'succeeded')) return data
    await sleep(50)
  }
}

interface Message {
  path: string
  headers: Record<string, string>
  body: string
}

const messagesOf = (receiver: Process, { path }: Hook): Message[] =>
  receiver
    .output()
    .split('\n')
    .map(line => JSON.parse(line))
    .filter(line => line.msg === 'received' && line.path === path)
