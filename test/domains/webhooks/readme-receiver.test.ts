import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'tap'
import { newSecret, signatures } from '../../../src/domains/webhooks/secrets.ts'
import { newId } from '../../../src/lib/id.ts'
import { packageRoot } from '../../../src/lib/package.ts'
import { temporaryDirectory } from '../../temporary-directory.ts'

// What the README tells receivers to do, done.

function block(language: string): string {
  const readme = readFileSync(join(packageRoot, 'README.md'), 'utf8')
  const [, code] = new RegExp(`^\`\`\`${language} receiver\n(.*?)^\`\`\``, 'ms').exec(readme) ?? []
  if (code === undefined) throw new Error(`The README shows no receiver in ${language}.`)
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
  { what: 'unsigned', headers: { ...message([secret]), 'webhook-signature': '' }, body, genuine: false },
]

test('in TypeScript', async t => {
  const file = join(temporaryDirectory(t), 'receiver.ts')
  writeFileSync(file, block('ts'))
  const { isGenuine } = await import(pathToFileURL(file).href)
  for (const { what, headers, body, genuine } of cases)
    t.equal(isGenuine(secret, headers, body), genuine, what)
})

const hasPython = spawnSync('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 9))']).status === 0

test('in Python', { skip: !hasPython && 'there is no python3 here' }, t => {
  const call = `
import json, sys
secret, cases = json.load(sys.stdin)
print(json.dumps([is_genuine(secret, c["headers"], c["body"].encode()) for c in cases]))`
  const input = JSON.stringify([secret, cases])
  const output = execFileSync('python3', ['-c', block('python') + call], { input, encoding: 'utf8' })
  t.strictSame(
    JSON.parse(output),
    cases.map(({ genuine }) => genuine),
  )
  t.end()
})
