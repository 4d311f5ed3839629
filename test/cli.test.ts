import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { commands } from '../src/cli.ts'
import { exampleEnvironment } from '../src/config.ts'
import { packageRoot } from '../src/lib/package.ts'
import { databaseVariables, serverUrl } from './database.ts'
import { run, temporaryDirectory } from './processes.ts'

async function plinth(t: Test, args: string[], variables: Record<string, string> = {}, input = '') {
  const running = run(t, 'src/cli.ts', { DATA_DIR: join(temporaryDirectory(t), 'data'), ...variables }, args)
  running.child.stdin?.end(input)
  const { code } = await running.exit
  return { code, output: running.output() }
}

test('help lists every command, and is the answer to silence', async t => {
  const { code, output } = await plinth(t, ['help'])
  t.equal(code, 0)
  for (const { usage, summary } of Object.values(commands)) {
    t.match(output, usage)
    t.match(output, summary)
  }
  t.equal((await plinth(t, [])).output, output)
})

test('an unknown command is a usage error', async t => {
  for (const name of ['frobnicate', 'constructor']) {
    const { code, output } = await plinth(t, [name])
    t.equal(code, 64)
    t.match(output, `There is no command ${name}.`)
  }
})

test('migrate applies what is missing, once; doctor tells the state before and after', async t => {
  const variables = await databaseVariables(t, { empty: true })
  const before = await plinth(t, ['doctor'], variables)
  t.equal(before.code, 1)
  t.match(before.output, /FAILED {2}migrations +\d+ not applied/)

  const first = await plinth(t, ['migrate'], variables)
  t.equal(first.code, 0)
  t.match(first.output, /Migrating: \d+ of \d+\n(.*\n)*Migrations applied: \d+\./)
  t.match((await plinth(t, ['migrate'], variables)).output, 'The database is up to date.')

  const after = await plinth(t, ['doctor'], variables)
  t.equal(after.code, 0)
  for (const line of [
    /^ok +configuration/m,
    /^ok +database +Postgres \d+/m,
    /^ok +migrations +up to date/m,
    /^- +redis/m,
    /^- +mail/m,
    serverUrl === undefined ? /^- +jobs/m : /^ok +jobs +due for 0 s at most/m,
    /^ok +webhooks +0 enabled, 0 of them failing; overdue deliveries: 0$/m,
    /^ok +disk/m,
  ]) {
    t.match(after.output, line)
  }
  t.match(after.output, serverUrl === undefined ? /^- +clock/m : /^ok +clock/m)
})

test('doctor names what is away', async t => {
  const { code, output } = await plinth(t, ['doctor'], {
    DATABASE_URL: 'postgres://nobody:planted@127.0.0.1:1/none',
    REDIS_URL: 'redis://:planted@127.0.0.1:1',
    MAIL_SERVER: '127.0.0.1',
    MAIL_PORT: '1',
    DATA_DIR: '/dev/null/nowhere',
    JWT_SECRET_KEY: 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo',
  })
  t.equal(code, 1)
  for (const name of ['database', 'redis', 'mail', 'disk'])
    t.match(output, new RegExp(`^FAILED +${name}`, 'm'))
  t.notMatch(output, /planted/)
})

test('doctor speaks to a real Redis and a real mail server', async t => {
  const smtp = createServer(socket => {
    socket.write('220 here\r\n')
    socket.on('data', () => socket.write('250 fine\r\n'))
    socket.on('error', () => {})
  }).listen(0, '127.0.0.1')
  await once(smtp, 'listening')
  t.teardown(() => smtp.close())
  const { port } = smtp.address() as { port: number }
  const redis = process.env.TEST_REDIS_URL
  const variables = {
    ...(await databaseVariables(t)),
    MAIL_SERVER: '127.0.0.1',
    MAIL_PORT: String(port),
    MAIL_USE_TLS: 'false',
    ...(redis && { REDIS_URL: redis }),
  }
  const { output } = await plinth(t, ['doctor'], variables)
  t.match(output, /^ok +mail/m)
  t.match(output, redis ? /^ok +redis/m : /^- +redis/m)
})

// Production does without the embedded database.
if (serverUrl !== undefined) {
  test('in production the doctor tells that webhooks may go anywhere', async t => {
    const variables = {
      ...(await databaseVariables(t)),
      NODE_ENV: 'production',
      JWT_SECRET_KEY: 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo',
    }
    const told = /^ok +webhooks .*: 0; they may reach this network, as WEBHOOK_ALLOW_PRIVATE=true$/m
    t.match((await plinth(t, ['doctor'], { ...variables, WEBHOOK_ALLOW_PRIVATE: 'true' })).output, told)
    t.notMatch((await plinth(t, ['doctor'], variables)).output, /WEBHOOK_ALLOW_PRIVATE/)
  })
}

test('in production nothing is kept on disk, so the disk does not matter', async t => {
  const { output } = await plinth(t, ['doctor'], {
    NODE_ENV: 'production',
    DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
    JWT_SECRET_KEY: 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo',
    DATA_DIR: '/dev/null/nowhere',
  })
  t.match(output, /^- +disk/m)
})

test('config masks secrets and tells faults', async t => {
  const { code, output } = await plinth(t, ['config'], { JWT_SECRET_KEY: 'planted'.repeat(8), PORT: '4000' })
  t.equal(code, 0)
  t.match(output, /^PORT=4000$/m)
  t.match(output, /^JWT_SECRET_KEY=\*{8}$/m)
  t.notMatch(output, /planted/)
  t.equal((await plinth(t, ['config', '--example'])).output.trim(), exampleEnvironment().trim())
  t.equal((await plinth(t, ['config'], { PORT: 'x' })).code, 78)
})

test('a mistake, or a server that is away, is one sentence', async t => {
  const typo = await plinth(t, ['config', '--typo'])
  t.equal(typo.code, 64)
  t.match(typo.output, /--typo/)
  t.notMatch(typo.output, /^\s+at /m)
  const away = await plinth(t, ['migrate'], { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' })
  t.strictSame(away, { code: 69, output: 'The database cannot be reached.' })
})

test('openapi --check passes on what is committed, without any database', async t => {
  t.equal((await plinth(t, ['openapi', '--check'], { DATABASE_URL: 'postgres://127.0.0.1:1/none' })).code, 0)
})

test('shell runs a script, and prints the value of an expression', async t => {
  const script = `const result = await db.execute(sql\`select 41 + 1 as answer\`)
console.log(JSON.stringify(result.rows ?? result))
console.log((await app.inject('/health')).json().status)
console.log(config.NODE_ENV)
`
  const variables = await databaseVariables(t)
  const { code, output } = await plinth(t, ['shell'], variables, script)
  t.equal(code, 0)
  t.equal(output, '[{"answer":42}]\nhealthy\ndevelopment')
  t.equal((await plinth(t, ['shell'], variables, 'await Promise.resolve(40) + 2\n')).output, '42')
  t.not((await plinth(t, ['shell'], variables, 'throw new Error("planned")')).code, 0)
})

test('the package’s bin is what was built', t => {
  const { bin } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'))
  t.strictSame(bin, { plinth: 'dist/cli.js' })
  t.match(readFileSync(join(packageRoot, 'src/cli.ts'), 'utf8'), /^#!\/usr\/bin\/env node\n/)
  t.end()
})
