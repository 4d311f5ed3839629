import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import { packageRoot } from '../src/lib/package.ts'
import { problemDefinitions } from '../src/lib/problem.ts'
import { build } from './helper.ts'

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security?: unknown[]
  responses: Record<string, { $ref?: string; headers?: object; content?: object }>
}

const execute = promisify(execFile)

test('openapi.json is what the routes say', async t => {
  const app = await build(t)
  const served = await app.inject('/openapi.json')
  t.equal(served.statusCode, 200)
  t.match(served.headers['content-type'], /^application\/json/)
  t.strictSame(
    JSON.parse(await readFile(join(packageRoot, 'openapi.json'), 'utf8')),
    served.json(),
    'run `npm run openapi`',
  )
})

test('the recommended rules of Redocly find nothing', async t => {
  const { stdout } = await execute(process.execPath, [
    join(packageRoot, 'node_modules', '@redocly', 'cli', 'bin', 'cli.js'),
    'lint',
    join(packageRoot, 'openapi.json'),
    '--format=json',
  ])
  const { totals } = JSON.parse(stdout)
  t.strictSame({ errors: totals.errors, warnings: totals.warnings }, { errors: 0, warnings: 0 })
})

test('each operation names itself, its caller and each of its answers', async t => {
  const app = await build(t)
  const document = (await app.inject('/openapi.json')).json()
  const operations: Operation[] = Object.values<Record<string, Operation>>(document.paths).flatMap(
    Object.values,
  )
  t.ok(operations.length >= 5)
  t.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length)
  const tags = document.tags.map((tag: { name: string }) => tag.name)
  for (const operation of operations) {
    t.ok(operation.summary, operation.operationId)
    t.ok(operation.tags.every(tag => tags.includes(tag)))
    t.ok(operation.security !== undefined || document.security.length > 0)
    t.ok(Object.keys(operation.responses).some(status => status.startsWith('2')))
    for (const status of ['400', '500', '503'])
      t.ok(operation.responses[status], `${operation.operationId} ${status}`)
    for (const response of Object.values(operation.responses)) {
      const { headers } = response.$ref ? resolve(document, response.$ref) : response
      t.ok(headers && 'X-Request-Id' in headers, operation.operationId)
    }
  }
  t.equal(document.components.schemas.Problem.type, 'object')
})

test('the codes in the document are codes that exist', async t => {
  const app = await build(t)
  const { components } = (await app.inject('/openapi.json')).json()
  const known = new Set(problemDefinitions().map(({ code }) => code))
  for (const { description } of Object.values<{ description: string }>(components.responses)) {
    const codes = [...description.matchAll(/^`(\w+)`:/gm)].map(([, code]) => code)
    t.ok(codes.length > 0)
    for (const code of codes) t.ok(known.has(String(code)), String(code))
  }
})

function resolve(document: object, ref: string): { headers: object } {
  const found = ref
    .slice(2)
    .split('/')
    .reduce((node: unknown, key) => (node as Record<string, unknown>)[key], document)
  return found as { headers: object }
}
