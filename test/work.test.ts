import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import audit from '../src/commands/audit.ts'
import type { Command } from '../src/commands/command.ts'
import jobs from '../src/commands/jobs.ts'
import mailTest from '../src/commands/mail-test.ts'
import { databaseVariables, serverUrl } from './database.ts'
import { type Process, run, startServer } from './processes.ts'

async function plinth(t: Test, variables: Record<string, string>, ...args: string[]) {
  const running = run(t, 'src/cli.ts', variables, args)
  return { code: (await running.exit).code, output: running.output() }
}

/** What runs the jobs: with the embedded database the web process, otherwise a worker. */
async function startRunner(t: Test, variables: Record<string, string>): Promise<Process> {
  if (serverUrl === undefined) return startServer(t, variables)
  const worker = run(t, 'src/worker.ts', variables)
  await worker.logged('worker ready')
  return worker
}

test('from the command line through the queue into a mail, and all of it is recorded', async t => {
  const variables = await databaseVariables(t)
  t.match(await plinth(t, variables, 'mail-test', 'ann@example.com'), { code: 0, output: /queued/ })
  t.match((await plinth(t, variables, 'jobs', 'list')).output, /^mail\.send +1 +0 +0 +0 +0 +0$/m)

  const runner = await startRunner(t, variables)
  const { file } = await runner.logged('mail written to a file, as MAIL_SERVER is not set')
  t.match(file, /^file:\/\/.*\.eml$/)
  t.match(readFileSync(new URL(String(file)), 'utf8'), /^To: ann@example\.com\r$/m)
  t.equal(readdirSync(join(variables.DATA_DIR ?? '', 'mail')).length, 1)
  await runner.logged('job done', { job: 'mail.send' })
  // It fell due before, and was made up for.
  await runner.logged('job done', { job: 'audit.seal' })
  t.notMatch(runner.output(), /ann@example/, 'addresses are not logged')
  runner.child.kill('SIGTERM')
  t.strictSame(await runner.exit, { code: 0, signal: null })
  const { output } = await plinth(t, variables, 'jobs', 'list')
  t.match(output, /^mail\.send +0 +0 +0 +1 +0 +0$/m)
})

test('a web process that is told not to, runs no jobs', async t => {
  const variables = await databaseVariables(t)
  await plinth(t, variables, 'mail-test', 'ann@example.com')
  const server = await startServer(t, { ...variables, WORKER: 'false' })
  t.equal((await fetch(`${server.url}/health/ready`)).status, 200)
  server.child.kill('SIGTERM')
  await server.exit
  t.match((await plinth(t, variables, 'jobs', 'list')).output, /^mail\.send +1 +0 +0 +0 +0 +0$/m)
})

test('jobs are run by hand, and the audit log verified', async t => {
  const variables = await databaseVariables(t)
  t.match(await plinth(t, variables, 'jobs', 'run', 'audit.seal'), {
    code: 0,
    output: /^audit\.seal is done\.$/m,
  })
  const whole = /^Whole: 0 events under 0 seals; 0 not sealed yet\.$/
  t.match(await plinth(t, variables, 'audit', 'verify'), { code: 0, output: whole })
  t.strictSame(await plinth(t, variables, 'audit', 'export'), { code: 0, output: '' })
  const unknown = await plinth(t, variables, 'jobs', 'retry', '01a1fe6d-2985-7239-9535-76034f419dc5')
  t.strictSame(unknown, { code: 1, output: 'There is no such job.' })
})

// On the embedded database nobody else can look while jobs are run.
if (serverUrl !== undefined) {
  test('the doctor tells when nobody runs the jobs', async t => {
    const variables = await databaseVariables(t)
    await plinth(t, variables, 'mail-test', 'ann@example.com')
    const late = `await db.execute(sql\`update pgboss.job set start_after = now() - interval '1 hour'\`), 0`
    const shell = run(t, 'src/cli.ts', variables, ['shell'])
    shell.child.stdin?.end(late)
    await shell.exit
    t.match(await plinth(t, variables, 'doctor'), {
      code: 1,
      output: /^FAILED +jobs +due for 360\d s at most: is/m,
    })
  })

  test('the doctor tells when nobody sends to webhooks', async t => {
    const variables = await databaseVariables(t)
    const late = `await db.execute(sql\`
      with users as (
          insert into users (id, email, password_hash, first_name, last_name)
          values (gen_random_uuid(), 'ann@example.com', 'x', 'Ann', 'Lee') returning id
        ),
        webhooks as (
          insert into webhooks (id, user_id, url, types, scope, due_at)
          select gen_random_uuid(), id, 'https://public.example/', '["*"]', 'own', now() - interval '1 hour' from users
          returning id
        )
      insert into webhook_deliveries (webhook_id, id, transaction_id, type, next_attempt_at)
      select id, gen_random_uuid(), 1, 'item.created', now() - interval '1 hour' from webhooks\`), 0`
    const shell = run(t, 'src/cli.ts', variables, ['shell'])
    shell.child.stdin?.end(late.replaceAll(/\s+/g, ' '))
    await shell.exit
    t.match(await plinth(t, variables, 'doctor'), {
      code: 1,
      output:
        /^FAILED +webhooks +1 enabled, .*; overdue deliveries: 1, with nothing in their way: 1: is there a worker/m,
    })
  })
}

test('a mistake on the command line is told in a sentence', async t => {
  const mistakes: [Command, string[], RegExp][] = [
    [jobs, [], /^Say what to do: plinth jobs list/],
    [jobs, ['list', '--state', 'lost'], /^--state is one of created, retry/],
    [jobs, ['retry', 'x'], /^Name the job by its id/],
    [jobs, ['run', 'nothing'], /^There is no job nothing\. There are:\n.*audit\.seal/s],
    [jobs, ['run', 'audit.seal', '{'], /^The payload is not JSON\.$/],
    [jobs, ['run', 'audit.seal', '{"a":1}'], /^The payload does not fit: \/a/],
    [audit, ['forget'], /^Say what to do: plinth audit verify/],
    [mailTest, [], /^Say where to/],
    [mailTest, ['ann@example.com, bob@example.com'], /^Say where to/],
  ]
  for (const [command, args, message] of mistakes) {
    t.throws(() => command(args), { exitCode: 64, message }, args.join(' '))
  }
})
