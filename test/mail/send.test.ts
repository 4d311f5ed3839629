import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import type { Config } from '../../src/config.ts'
import { type JobContext, PermanentFailure } from '../../src/jobs/job.ts'
import { storableError } from '../../src/jobs/job-error.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { newId } from '../../src/lib/id.ts'
import { createVault } from '../../src/lib/vault.ts'
import { type Letter, openLetter, sealLetter } from '../../src/mail/letter.ts'
import { sendMail } from '../../src/mail/send.ts'
import { testDatabase } from '../database.ts'
import { recordingLogger, testConfig } from '../helper.ts'
import { temporaryDirectory } from '../temporary-directory.ts'
import { fickleServer, mailVariables, readMessage, reply, smtpServer } from './smtp.ts'

const data = { asked_at: '2026-11-21T10:00:00.000Z', host: 'planted-host', environment: 'test' }

const letter = (changes: Partial<Letter> = {}): Letter => ({
  id: newId(),
  to: 'ann.planted@example.com',
  template: 'test',
  data,
  ...changes,
})

async function contextOf(config: Config, requestId: string | null = null) {
  const log = recordingLogger()
  const context: JobContext = {
    config,
    database: await testDatabase(),
    logger: log.logger,
    actor: systemActor({ request_id: requestId, ip: null, user_agent: null }),
    id: newId(),
    attempt: 1,
    signal: new AbortController().signal,
    progress: () => {},
  }
  return { context, log }
}

/** Sends a letter over a server with these variables; returns what the job threw, if anything. */
async function outcome(variables: Record<string, string>, sent = letter()): Promise<unknown> {
  const config = testConfig(variables)
  const { context } = await contextOf(config)
  try {
    await sendMail.run({ sealed: sealLetter(config, sent) }, context)
    return undefined
  } catch (error) {
    return error
  }
}

const told = (error: unknown) =>
  `${(error as Error).message} ${JSON.stringify(error)} ${(error as Error).cause}`

test('a mail is sent with its own id and that of the request, each time the same', async t => {
  const { received, variables } = await smtpServer(t)
  const config = testConfig(variables)
  const { context, log } = await contextOf(config, 'r-1')
  const sent = letter()
  const sealed = sealLetter(config, sent)
  await sendMail.run({ sealed }, context)
  await sendMail.run({ sealed }, context)
  t.strictSame(
    received.map(({ to }) => to),
    [[sent.to], [sent.to]],
  )
  const [first, second] = received.map(({ raw }) => readMessage(raw))
  t.equal(first?.headers['message-id'], `<${sent.id}@plinth.example>`)
  t.equal(second?.headers['message-id'], first?.headers['message-id'])
  t.equal(first?.headers['x-request-id'], 'r-1')
  t.equal(first?.headers['auto-submitted'], 'auto-generated')
  t.match(first?.parts[0]?.body, /planted-host/)
  t.notMatch(log.text(), /planted/)
})

test('without a request there is no X-Request-Id', async t => {
  const { received, variables } = await smtpServer(t)
  t.equal(await outcome(variables), undefined)
  t.notOk('x-request-id' in readMessage(received[0]?.raw ?? '').headers)
})

test('a refusal for now is tried again', async t => {
  const refusals = [
    { onRcptTo: fail(450, 'Greylisted, try again later') },
    { onMailFrom: fail(421, 'Too many connections') },
    { onData: failData(451, 'Local error') },
    { onConnect: (_session: unknown, done: Done) => done(reply(421, 'Not now')) },
  ]
  for (const refusal of refusals) {
    const { received, variables } = await smtpServer(t, refusal)
    const error = await outcome(variables)
    t.type(error, Error)
    t.notOk(error instanceof PermanentFailure, told(error))
    t.equal(received.length, 0)
  }
})

test('a refusal for good is not, and is told without the address and the content', async t => {
  const quoting = 'No such user: Ann.Planted <ann.planted@example.com> planted-host https://e.org/planted'
  const refusals = [
    { code: 550, options: { onRcptTo: fail(550, quoting) } },
    { code: 553, options: { onMailFrom: fail(553, quoting) } },
    { code: 554, options: { onData: failData(554, quoting) } },
  ]
  for (const { code, options } of refusals) {
    const { received, variables } = await smtpServer(t, options)
    const error = await outcome(variables)
    t.ok(error instanceof PermanentFailure, told(error))
    t.match(told(error), new RegExp(`${code}.*No such user`))
    t.notMatch(told(error), /planted/i)
    t.equal(received.length, 0)
  }
})

test('what the operator can mend is tried again', async t => {
  const login = { MAIL_USERNAME: 'plinth', MAIL_PASSWORD: 'planted' }
  const denying = await smtpServer(t, {
    authOptional: false,
    onAuth: (_auth, _session, done) => done(reply(535, 'Authentication failed')),
  })
  const demanding = await smtpServer(t, { authOptional: false })
  const closed = await smtpServer(t, { onConnect: (_session, done) => done(reply(554, 'Not you')) })
  const plain = await smtpServer(t)
  for (const variables of [
    { ...denying.variables, ...login },
    demanding.variables,
    closed.variables,
    { ...plain.variables, MAIL_USE_TLS: 'true' },
  ]) {
    const error = await outcome(variables)
    t.type(error, Error)
    t.notOk(error instanceof PermanentFailure, told(error))
    t.notMatch(told(error), /planted/)
  }
})

test('a server that is away, or hangs up, is tried again', async t => {
  const closed = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => closed.once('listening', resolve))
  const { port } = closed.address() as { port: number }
  await new Promise(resolve => closed.close(resolve))
  for (const variables of [mailVariables(port), await fickleServer(t)]) {
    const error = await outcome(variables)
    t.type(error, Error)
    t.notOk(error instanceof PermanentFailure, told(error))
    t.notMatch(told(error), /planted/)
  }
})

test('a payload that cannot become a mail fails for good, and nothing is sent', async t => {
  const { received, variables } = await smtpServer(t)
  const config = testConfig(variables)
  const { context } = await contextOf(config)
  const other = createVault('another secret of 32 characters.', 'mail').seal(JSON.stringify(letter()))
  const spoilt = [
    '',
    'v1.planted',
    other,
    createVault(config.JWT_SECRET_KEY, 'else').seal(JSON.stringify(letter())),
    createVault(config.JWT_SECRET_KEY, 'mail').seal('{"planted'),
    createVault(config.JWT_SECRET_KEY, 'mail').seal('null'),
    sealLetter(config, letter({ template: 'nowhere' })),
    sealLetter(config, letter({ data: { host: 'planted' } })),
    sealLetter(config, letter({ data: null })),
  ]
  for (const sealed of spoilt) {
    const error = await sendMail.run({ sealed }, context).then(
      () => undefined,
      reason => reason,
    )
    t.ok(error instanceof PermanentFailure, told(error))
    t.notMatch(told(error), /planted/)
  }
  t.equal(received.length, 0)
})

test('a mail that was sealed before the key was replaced is still sent', async t => {
  const { received, variables } = await smtpServer(t)
  const before = testConfig(variables)
  const rotated = { ...variables, JWT_SECRET_KEY: 'a new one for tests, 32 characters' }
  const sealed = sealLetter(before, letter())
  const after = testConfig({ ...rotated, JWT_SECRET_KEY_PREVIOUS: before.JWT_SECRET_KEY })
  await sendMail.run({ sealed }, (await contextOf(after)).context)
  t.equal(received.length, 1)
  t.equal(openLetter(testConfig(rotated), sealLetter(after, letter())).template, 'test')
  await t.rejects(sendMail.run({ sealed }, (await contextOf(testConfig(rotated))).context), PermanentFailure)
  t.equal(received.length, 1)
})

test('where mail is off, a mail waits for a process that can send it', async t => {
  const error = await outcome({
    NODE_ENV: 'production',
    DATABASE_URL: 'postgres://127.0.0.1/none',
    JWT_SECRET_KEY: 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo',
  })
  t.type(error, Error)
  t.notOk(error instanceof PermanentFailure)
})

test('the retries last about a day', t => {
  // pg-boss: the delay, times two to the power of the try, times something from a half to one.
  const tries = Array.from({ length: sendMail.retries }, (_, i) => sendMail.backoff_seconds * 2 ** (i + 1))
  const longest = tries.reduce((sum, seconds) => sum + seconds, 0)
  t.ok(longest / 2 > 12 * 3600)
  t.ok(longest < 36 * 3600)
  t.end()
})

type Done = (error?: Error | null) => void

function fail(code: number, text: string) {
  return (_address: unknown, _session: unknown, done: Done) => done(reply(code, text))
}

function failData(code: number, text: string) {
  return (stream: NodeJS.ReadableStream, _session: unknown, done: Done) => {
    stream.resume()
    stream.on('end', () => done(reply(code, text)))
  }
}

test('a fault of the file system is stored without the path', async t => {
  const DATA_DIR = temporaryDirectory(t)
  writeFileSync(join(DATA_DIR, 'mail'), 'a file where the folder should be')
  const stored = storableError(await outcome({ DATA_DIR }))
  t.match(stored, { code: 'EEXIST', message: 'mkdir failed' })
  t.notMatch(JSON.stringify(stored), DATA_DIR)
})
