import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { newId } from '../../src/lib/id.ts'
import type { Message } from '../../src/mail/message.ts'
import { smtpOptions } from '../../src/mail/smtp.ts'
import { transportOf } from '../../src/mail/transport.ts'
import { recordingLogger, testConfig } from '../helper.ts'
import { readMessage, smtpServer } from './smtp.ts'

const { logger } = recordingLogger()

const mail = (changes: Partial<Message> = {}): Message => ({
  id: newId(),
  to: 'ann@example.com',
  subject: 'Žluťoučký kůň: 🐎 für alle, die Grüße schicken und eine lange Betreffzeile lieben',
  text: `Grüße aus Brno\n\nhttps://example.com/verify?token=${'a1=b'.repeat(40)}\n`,
  html: '<!doctype html>\n<html lang="en"><body><p>Grüße aus Brno</p></body></html>\n',
  headers: {},
  ...changes,
})

test('a mail arrives as text and HTML, decoded right', async t => {
  const { received, variables } = await smtpServer(t)
  const sent = mail({ headers: { 'X-Request-Id': 'r-1', 'Auto-Submitted': 'auto-generated' } })
  await (await transportOf(testConfig({ ...variables, MAIL_FROM: 'Kůň <horse@plinth.example>' })))?.send(
    sent,
    logger,
  )
  t.equal(received.length, 1)
  const [{ from, to, raw } = { from: '', to: [], raw: '' }] = received
  t.equal(from, 'horse@plinth.example')
  t.strictSame(to, ['ann@example.com'])
  const { headers, parts } = readMessage(raw)
  t.match(headers['content-type'], /^multipart\/alternative/)
  t.equal(headers.subject, sent.subject)
  t.equal(headers.from, 'Kůň <horse@plinth.example>')
  t.equal(headers.to, 'ann@example.com')
  t.equal(headers['auto-submitted'], 'auto-generated')
  t.equal(headers['x-request-id'], 'r-1')
  t.equal(headers['message-id'], `<${sent.id}@plinth.example>`)
  t.strictSame(
    parts.map(part => part.headers['content-type']),
    ['text/plain; charset=utf-8', 'text/html; charset=utf-8'],
  )
  t.strictSame(
    parts.map(part => part.body.replaceAll('\r\n', '\n').trim()),
    [sent.text.trim(), sent.html.trim()],
  )
  for (const line of raw.split('\r\n')) t.ok(Buffer.byteLength(line) <= 998)
})

test('nothing in a mail can become a header or a recipient', async t => {
  const { received, variables } = await smtpServer(t)
  const transport = await transportOf(testConfig(variables))
  const attack = '\r\nBcc: eve@example.com\r\n\r\nplanted'
  const attempts = [
    mail({ subject: `Hello${attack}` }),
    mail({ headers: { 'X-Request-Id': `r-1${attack}` } }),
    mail({ to: `ann@example.com${attack}` }),
    mail({ to: 'ann@example.com, eve@example.com' }),
    mail({ to: 'ann@example.com>\r\nRCPT TO:<eve@example.com' }),
    mail({ id: `${newId()}${attack}` }),
  ]
  // A refusal is as good.
  for (const attempt of attempts) await transport?.send(attempt, logger).catch(() => {})
  t.ok(received.length >= 3)
  for (const { to, raw } of received) {
    t.equal(to.length, 1)
    t.not(to[0], 'eve@example.com')
    const { names, parts } = readMessage(raw)
    t.notOk(names.includes('bcc'))
    t.equal(names.length, new Set(names).size)
    t.equal(parts.length, 2)
  }
})

test('no line is longer than SMTP allows, whatever a mail says', async t => {
  const { received, variables } = await smtpServer(t)
  const transport = await transportOf(testConfig(variables))
  for (const character of ['a', 'ž', '🐎', 'a ']) {
    const endless = character.repeat(5_000).trim()
    const sent = mail({ subject: 'Endless', text: endless, html: `<p>${endless}</p>` })
    await transport?.send(sent, logger)
    const { raw = '' } = received.at(-1) ?? {}
    for (const line of raw.split('\r\n')) if (Buffer.byteLength(line) > 998) t.fail(line.slice(0, 78))
    t.equal(readMessage(raw).parts[0]?.body.trim(), endless)
  }
})

test('it logs in when there is a user', async t => {
  const { received, variables } = await smtpServer(t, {
    authOptional: false,
    onAuth: ({ username, password }, _session, done) =>
      username === 'plinth' && password === 'planted'
        ? done(null, { user: username })
        : done(new Error('Invalid login')),
  })
  const login = { ...variables, MAIL_USERNAME: 'plinth', MAIL_PASSWORD: 'planted' }
  await (await transportOf(testConfig(login)))?.send(mail(), logger)
  t.strictSame(
    received.map(({ user }) => user),
    ['plinth'],
  )
})

test('a server without TLS, where it is demanded, learns nothing', async t => {
  const { received, wire, variables } = await smtpServer(t)
  const login = { ...variables, MAIL_USE_TLS: 'true', MAIL_USERNAME: 'plinth', MAIL_PASSWORD: 'planted' }
  const transport = await transportOf(testConfig(login))
  await t.rejects(transport?.send(mail(), logger) ?? Promise.resolve(), { code: 'ETLS' })
  t.equal(received.length, 0)
  t.match(wire(), /^EHLO /)
  t.notMatch(wire(), /AUTH|MAIL FROM|RCPT|DATA|planted|ann@example/i)
})

test('port 465 is TLS from the first byte, others begin it later', t => {
  const options = (variables: Record<string, string>) =>
    smtpOptions(testConfig({ MAIL_SERVER: 'mail.example.com', ...variables }))
  t.match(options({ MAIL_PORT: '465' }), { secure: true, requireTLS: true })
  t.match(options({ MAIL_PORT: '587' }), { secure: false, requireTLS: true })
  t.match(options({ MAIL_PORT: '465', MAIL_USE_TLS: 'false' }), { secure: false, requireTLS: false })
  t.notOk('auth' in (options({ MAIL_PASSWORD: 'alone' }) ?? {}))
  t.equal(smtpOptions(testConfig()), undefined)
  t.end()
})

test('without a server, each mail is a file that only its owner reads', async t => {
  const directory = t.testdir()
  const log = recordingLogger()
  const transport = await transportOf(testConfig({ DATA_DIR: join(directory, 'data') }))
  const mails = [mail(), mail({ subject: 'Second' })]
  for (const each of [...mails, ...mails]) await transport?.send(each, log.logger)
  const folder = join(directory, 'data', 'mail')
  const files = readdirSync(folder).sort()
  // Sent again, a mail is the same file; and by name they lie in the order in which they were asked for.
  t.strictSame(
    files.map(name => name.slice(-40, -4)),
    mails.map(({ id }) => id),
  )
  t.equal(statSync(folder).mode & 0o777, 0o700)
  for (const file of files) t.equal(statSync(join(folder, file)).mode & 0o777, 0o600)
  const link = String(log.lines()[1].file)
  const message = readMessage(readFileSync(fileURLToPath(link), 'utf8'))
  t.equal(message.headers.subject, 'Second')
  t.match(message.parts[0]?.body, /Grüße aus Brno/)
})

test('in production there is no mail without a server', async t => {
  const production = {
    NODE_ENV: 'production',
    DATABASE_URL: 'postgres://127.0.0.1/none',
    JWT_SECRET_KEY: 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo',
    APP_URL: 'https://app.example.com',
  }
  t.equal(await transportOf(testConfig(production)), undefined)
  t.ok(await transportOf(testConfig({ ...production, MAIL_SERVER: 'mail.example.com' })))
})
