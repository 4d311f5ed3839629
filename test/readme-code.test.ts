import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { transformSync } from 'esbuild'
import { type Test, test } from 'tap'
import { newSecret, signatures } from '../src/domains/webhooks/secrets.ts'
import { newId } from '../src/lib/id.ts'
import { packageRoot } from '../src/lib/package.ts'
import { aUser, listen } from './helper.ts'
import { temporaryDirectory } from './temporary-directory.ts'

// What the README tells to write, run.

function block(name: string): string {
  const readme = readFileSync(join(packageRoot, 'README.md'), 'utf8')
  const [, code] = new RegExp(`^\`\`\`${name}\n(.*?)^\`\`\``, 'ms').exec(readme) ?? []
  if (code === undefined) throw new Error(`The README has no block ${name}.`)
  return code
}

interface Case {
  what: string
  headers: Record<string, string>
  body: string
  genuine: boolean
}

const secret = newSecret()
const body = '{"type":"item.created","data":{"title":"Äpfel 🍏"}}'
const now = () => Math.floor(Date.now() / 1000)

function message(secrets: string[], timestamp = now()): Record<string, string> {
  const id = newId()
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signatures(secrets, { id, timestamp, body }),
  }
}

const cases: Case[] = [
  { what: 'as it was sent', headers: message([secret]), body, genuine: true },
  { what: 'after a rotation', headers: message([newSecret(), secret]), body, genuine: true },
  { what: 'of somebody else', headers: message([newSecret()]), body, genuine: false },
  { what: 'with another body', headers: message([secret]), body: `${body} `, genuine: false },
  { what: 'of an hour ago', headers: message([secret], now() - 3_600), body, genuine: false },
  {
    what: 'with another id',
    headers: { ...message([secret]), 'webhook-id': newId() },
    body,
    genuine: false,
  },
  { what: 'of a stranger', headers: {}, body, genuine: false },
  { what: 'unsigned', headers: { ...message([secret]), 'webhook-signature': '' }, body, genuine: false },
]

function moduleOf(t: Test, name: string) {
  const file = join(temporaryDirectory(t), 'module.mjs')
  writeFileSync(file, transformSync(block(name), { loader: 'ts' }).code)
  return import(pathToFileURL(file).href)
}

test('a receiver in TypeScript', async t => {
  const { isGenuine } = await moduleOf(t, 'ts receiver')
  for (const { what, headers, body, genuine } of cases)
    t.equal(isGenuine(secret, headers, body), genuine, what)
})

const hasPython = spawnSync('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 9))']).status === 0

test('a receiver in Python', { skip: !hasPython && 'there is no python3 here' }, t => {
  const call = `
import json, sys
secret, cases = json.load(sys.stdin)
print(json.dumps([is_genuine(secret, c["headers"], c["body"].encode()) for c in cases]))`
  const input = JSON.stringify([secret, cases])
  const output = execFileSync('python3', ['-c', block('python receiver') + call], { input, encoding: 'utf8' })
  t.strictSame(
    JSON.parse(output),
    cases.map(({ genuine }) => genuine),
  )
  t.end()
})

test('whoever follows the stream', async t => {
  const { follow } = await moduleOf(t, 'ts stream')
  const { app, url } = await listen(t)
  const { headers } = await aUser(app)
  const heard: object[] = []
  const make = () => app.inject({ method: 'POST', url: '/api/v1/items', headers, payload: { title: 'Seen' } })
  // From when on it is followed, only the server knows.
  const making = setInterval(make, 50)
  const tokens = [headers.authorization.replace('Bearer ', '')]
  const following = follow(
    `${url}/api/v1/events?types=item.*`,
    async () => tokens.pop() ?? Promise.reject(new Error('There is no other token.')),
    (event: object) => {
      clearInterval(making)
      heard.push(event)
      app.server.closeAllConnections()
    },
  )
  await t.rejects(following, /no other token/, 'it comes back, with another token')
  t.match(heard[0], { type: 'item.created', changes: { title: [null, 'Seen'] } })
})
