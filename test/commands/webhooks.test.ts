import { eq } from 'drizzle-orm'
import { test } from 'tap'
import webhooksCommand, { describeWebhook, list, replay } from '../../src/commands/webhooks.ts'
import { webhooks } from '../../src/domains/webhooks/tables.ts'
import { newId } from '../../src/lib/id.ts'
import { databaseVariables, eventsAreFinal } from '../database.ts'
import { anItem } from '../domains/items/calls.ts'
import {
  aWebhook,
  deliveriesOf,
  open,
  rowOf,
  send,
  TARGET,
  withDeliveries,
} from '../domains/webhooks/calls.ts'
import { aUser } from '../helper.ts'
import { run } from '../processes.ts'

test('a list tells how each webhook of a user does', async t => {
  const app = await open(t)
  const { db } = app.database
  const { email, headers } = await aUser(app)
  const { webhook: well } = await aWebhook(app, headers)
  const { webhook: bad } = await aWebhook(app, headers, { url: 'https://1.1.1.1/' })
  const { webhook: gone } = await aWebhook(app, headers)
  const { webhook: other } = await aWebhook(app, (await aUser(app)).headers)
  await send(app, 'DELETE', `/${gone.id}`, headers)
  const failing_since = new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 6))
  const failing = { failing_since, enabled: false, disabled_reason: 'failing' } as const
  await db.update(webhooks).set(failing).where(eq(webhooks.id, bad.id))
  await withDeliveries(app, well.id, ['succeeded', 'succeeded'])
  await withDeliveries(app, bad.id, ['pending', 'failed', 'succeeded', 'failed', 'pending', 'failed'])
  await withDeliveries(app, other.id, ['pending', 'failed'])
  t.strictSame((await list(app.accounts, email.toUpperCase())).split('\n'), [
    `${well.id}  enabled, pending 0, failed 0  ${TARGET}`,
    `${bad.id}  disabled (failing), failing since 2026-01-02T03:04:05.006Z, pending 2, failed 3  https://1.1.1.1/`,
    '2 webhooks.',
  ])
  t.equal(await list(app.accounts, (await aUser(app)).email), '0 webhooks.')
  await t.rejects(list(app.accounts, 'nobody@example.com'), { message: /There is no user/, exitCode: 1 })
})

test('a line holds nothing that a terminal takes for a command', t => {
  const url = 'https://public.example/\u001b[2J\n\u009b2J'
  const line = describeWebhook({
    ...{ id: newId(), url, enabled: true, disabled_reason: null, failing_since: null },
    ...{ pending: 1, failed: 2 },
  })
  t.match(line, / {2}enabled, pending 1, failed 2 {2}https:\/\/public\.example\/\?\[2J\?\?2J$/)
  t.end()
})

test('what somebody has missed is sent again, whoever it is', async t => {
  const app = await open(t)
  const { accounts } = app
  const { headers } = await aUser(app)
  await anItem(app, headers)
  const { webhook } = await aWebhook(app, headers, { types: ['item.*'] })
  const { id } = webhook
  await eventsAreFinal(app.database.db)
  const again = 'Events that are on their way again'
  const range = { from: '2026-01-01T00:00:00Z', failed_only: false }
  t.equal(await replay(accounts, id, { ...range, to: '2026-01-02T00:00:00Z' }), `${again}: 0.`)
  t.equal(await replay(accounts, id, range), `${again}: 1.`)
  const [failed = '', succeeded = ''] = await withDeliveries(app, id, ['failed', 'succeeded'])
  t.equal(await replay(accounts, id, { ...range, failed_only: true }), `${again}: 1.`)
  t.equal(await replay(accounts, id, { delivery: succeeded }), 'The item.created is on its way again.')
  t.strictSame(
    (await deliveriesOf(app, id)).map(({ status }) => status),
    ['pending', 'pending', 'pending'],
  )
  t.ok((await rowOf(app, id)).due_at)
  await t.rejects(replay(accounts, failed, range), { message: 'There is no such webhook.' })
  await t.rejects(replay(accounts, id, { delivery: id }), { message: 'The webhook has no such delivery.' })
  await send(app, 'POST', `/${id}/disable`, headers)
  for (const wanted of [range, { delivery: failed }])
    await t.rejects(replay(accounts, id, wanted), { message: 'The webhook is disabled; enable it first.' })
})

test('wrong words are a usage error', async t => {
  const id = newId()
  const calls = [
    [],
    ['frobnicate', id],
    ['list'],
    ['list', ''],
    ['list', 'a@example.com', 'b@example.com'],
    ['replay'],
    ['replay', 'a@example.com'],
    ['replay', id],
    ['replay', id, id, '--failed-only'],
    ['replay', id, '--to', '2026-01-01'],
    ['replay', id, '--delivery', 'x'],
    ['replay', id, '--delivery', id, '--failed-only'],
    ['replay', id, '--delivery', id, '--from', '2026-01-01'],
    ...[
      '',
      'yesterday',
      '1',
      '2026',
      '2026-02-30',
      '2026-13-01',
      '2026-01-01T25:00Z',
      '2026-01-01T00:00:00',
    ].map(time => ['replay', id, '--from', time]),
    ['replay', id, '--failed-only', '--to', '2026-02-29T00:00:00Z'],
  ]
  for (const args of calls) {
    await t.rejects(async () => webhooksCommand(args), { message: /\.$/, exitCode: 64 }, args.join(' '))
  }
  await t.rejects(async () => webhooksCommand(['list', 'a@example.com', '--all']), {
    code: /^ERR_PARSE_ARGS/,
  })
})

test('on the command line, a refusal is a sentence and an exit code', async t => {
  const variables = await databaseVariables(t)
  const plinth = async (words: string, input = '') => {
    const { child, exit, output } = run(t, 'src/cli.ts', variables, words.split(' '))
    child.stdin?.end(input)
    return { code: (await exit).code, output: output() }
  }
  t.equal((await plinth('create-admin root@example.com', 'correct horse battery\n')).code, 0)
  t.strictSame(await plinth('webhooks list root@example.com'), { code: 0, output: '0 webhooks.' })
  t.strictSame(await plinth(`webhooks replay ${newId()} --from 2026-01-01`), {
    code: 1,
    output: 'There is no such webhook.',
  })
})
