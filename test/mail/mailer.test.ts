import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { test } from 'tap'
import { allRows } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import { installJobs } from '../../src/jobs/install.ts'
import type { JobContext } from '../../src/jobs/job.ts'
import { systemActor } from '../../src/lib/actor.ts'
import { newId } from '../../src/lib/id.ts'
import { createMailer } from '../../src/mail/mailer.ts'
import { sendMail } from '../../src/mail/send.ts'
import { defineTemplate } from '../../src/mail/template.ts'
import { testMail } from '../../src/mail/templates/test.ts'
import { testDatabase } from '../database.ts'
import { recordingLogger, testConfig } from '../helper.ts'
import { smtpServer } from './smtp.ts'

const data = { asked_at: '2026-11-21T10:00:00.000Z', host: 'planted-host', environment: 'test' }
const to = 'ann@planted.example'
const actor = systemActor({ request_id: newId(), ip: '192.0.2.1', user_agent: null })

interface Row {
  data: { payload: { sealed: string } }
  text: string
}

async function open() {
  const { db } = await testDatabase()
  await installJobs(db, [sendMail])
  const queued = (requestId: string | null) =>
    allRows<Row>(
      db,
      sql`select data, job::text as text from pgboss.job as job
          where name = 'mail.send' and data->'origin'->>'request_id' = ${requestId}`,
    )
  return { db, queued }
}

test('a mail waits sealed, and is what the job sends', async t => {
  const { db, queued } = await open()
  const { received, variables } = await smtpServer(t)
  const config = testConfig(variables)
  await inTransaction(db, tx => createMailer(config).send(tx, actor, testMail, { to, data }))
  const rows = await queued(actor.origin.request_id)
  t.equal(rows.length, 1)
  t.notMatch(rows[0]?.text, /planted|ann|2026-11-21T10/)

  const context: JobContext = {
    config,
    database: await testDatabase(),
    logger: recordingLogger().logger,
    actor,
    id: newId(),
    attempt: 1,
    signal: new AbortController().signal,
    progress: () => {},
  }
  await sendMail.run(rows[0]?.data.payload ?? { sealed: '' }, context)
  t.strictSame(
    received.map(mail => mail.to),
    [[to]],
  )
  t.match(received[0]?.raw, /planted-host/)
})

test('a mail goes with its transaction', async t => {
  const { db, queued } = await open()
  const nobody = systemActor({ request_id: newId(), ip: null, user_agent: null })
  const undone = inTransaction(db, async tx => {
    await createMailer(testConfig()).send(tx, nobody, testMail, { to, data })
    throw new Error('planned')
  })
  await t.rejects(undone, { message: 'planned' })
  t.equal((await queued(nobody.origin.request_id)).length, 0)
})

test('an address that is more, or less, than one is refused', async t => {
  const { db, queued } = await open()
  const caller = systemActor({ request_id: newId(), ip: null, user_agent: null })
  const mailer = createMailer(testConfig())
  for (const bad of [
    '',
    'ann',
    '@',
    'ann@',
    '@example.com',
    'ann@b@example.com',
    'ann@example.com\r\nBcc: eve@example.com',
    'ann@example.com\n',
    'ann@example.com, eve@example.com',
    'ann@example.com;eve@example.com',
    'Ann <ann@example.com>',
    '"ann"@example.com',
    'ann\u0000@example.com',
    `${'a'.repeat(250)}@example.com`,
  ]) {
    await t.rejects(
      inTransaction(db, tx => mailer.send(tx, caller, testMail, { to: bad, data })),
      Error,
      JSON.stringify(bad),
    )
  }
  t.equal((await queued(caller.origin.request_id)).length, 0)
  for (const good of ['ann+tag@example.com', "o'neil@example.com", 'žluť@příklad.example']) {
    await inTransaction(db, tx => mailer.send(tx, caller, testMail, { to: good, data }))
  }
  t.equal((await queued(caller.origin.request_id)).length, 3)
})

test('a template that is not listed, or data that does not fit, fails with the caller', async t => {
  const { db } = await open()
  const mailer = createMailer(testConfig())
  const unlisted = defineTemplate({
    name: 'unlisted',
    data: Type.Object({}),
    subject: () => '',
    preheader: () => '',
    body: () => [],
  })
  await t.rejects(
    inTransaction(db, tx => mailer.send(tx, actor, unlisted, { to, data: {} })),
    /unlisted/,
  )
  const wrong = { ...data, host: 1 } as unknown as typeof data
  await t.rejects(
    inTransaction(db, tx => mailer.send(tx, actor, testMail, { to, data: wrong })),
    /test/,
  )
})

test('where mail is off, nothing is queued', async t => {
  const { db, queued } = await open()
  const caller = systemActor({ request_id: newId(), ip: null, user_agent: null })
  const mailer = createMailer(
    testConfig({
      NODE_ENV: 'production',
      DATABASE_URL: 'postgres://127.0.0.1/none',
      JWT_SECRET_KEY: 'kX3v9QmZt7LrB2nWc8HsYd4FgJp6AeUo',
    }),
  )
  t.equal(mailer.available, false)
  await t.rejects(
    inTransaction(db, tx => mailer.send(tx, caller, testMail, { to, data })),
    { message: 'This service cannot send mail.' },
  )
  t.equal((await queued(caller.origin.request_id)).length, 0)
})
