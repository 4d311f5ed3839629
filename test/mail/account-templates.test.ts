import { readdirSync } from 'node:fs'
import { basename, extname } from 'node:path'
import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { test } from 'tap'
import { render } from '../../src/mail/render.ts'
import type { Template } from '../../src/mail/template.ts'
import { accountLockedMail } from '../../src/mail/templates/account-locked.ts'
import { changeEmailMail } from '../../src/mail/templates/change-email.ts'
import { emailChangeRequestedMail } from '../../src/mail/templates/email-change-requested.ts'
import { emailChangedMail } from '../../src/mail/templates/email-changed.ts'
import { findTemplate } from '../../src/mail/templates/index.ts'
import { mfaChangedMail } from '../../src/mail/templates/mfa-changed.ts'
import { newDeviceMail } from '../../src/mail/templates/new-device.ts'
import { passwordChangedMail } from '../../src/mail/templates/password-changed.ts'
import { resetPasswordMail } from '../../src/mail/templates/reset-password.ts'
import { verifyEmailMail } from '../../src/mail/templates/verify-email.ts'

const first_name = 'Zoë'
const url = 'https://app.example.com/verify?token=abc'
const new_email = 'zoe@example.org'
const user_agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
const origin = { at: '2026-11-21T08:00:59.999Z', ip: '2001:db8::7', user_agent }
const expires_at = '2026-11-22T23:05:00.000Z'

const circumstances = ['21 November 2026, 08:00 UTC', origin.ip, user_agent]
const link = [url, '22 November 2026, 23:05 UTC', 'once']

interface Example {
  template: Template
  data: Record<string, unknown>
  /** What the mail must tell besides the name. */
  tells: string[]
}

const example = <Data extends Template['data']>(
  template: Template<Data>,
  data: Static<Data> & Record<string, unknown>,
  tells: string[],
): Example => ({ template, data, tells })

const examples = [
  example(verifyEmailMail, { first_name, url, expires_at, ...origin }, [...link, ...circumstances]),
  example(resetPasswordMail, { first_name, url, expires_at, ...origin }, [
    ...link,
    ...circumstances,
    'Nothing has changed',
  ]),
  example(changeEmailMail, { first_name, url, new_email, expires_at, ...origin }, [
    ...link,
    ...circumstances,
    new_email,
  ]),
  example(emailChangeRequestedMail, { first_name, new_email, ...origin }, [
    ...circumstances,
    new_email,
    'change your password',
    'end all other sessions',
  ]),
  example(emailChangedMail, { first_name, new_email, ...origin }, [...circumstances, new_email, 'support']),
  example(newDeviceMail, { first_name, ...origin }, [...circumstances, 'change your password']),
  example(passwordChangedMail, { first_name, ...origin }, [...circumstances, 'has been changed', 'reset']),
  example(passwordChangedMail, { first_name, how: 'changed', ...origin }, ['has been changed']),
  example(passwordChangedMail, { first_name, how: 'reset', ...origin }, [...circumstances, 'with a link']),
  example(mfaChangedMail, { first_name, change: 'enabled', ...origin }, [...circumstances, 'turned on']),
  example(mfaChangedMail, { first_name, change: 'disabled', ...origin }, [...circumstances, 'turned off']),
  example(mfaChangedMail, { first_name, change: 'recovery_codes_replaced', ...origin }, [
    ...circumstances,
    'the old ones no longer work',
  ]),
  example(accountLockedMail, { first_name, locked_until: expires_at, failures: 10, ...origin }, [
    ...circumstances,
    '10 attempts',
    '22 November 2026, 23:05 UTC',
    'unlocks',
  ]),
  example(accountLockedMail, { first_name, locked_until: expires_at, ...origin }, ['Too many attempts']),
]

const variants = (data: Record<string, unknown>) =>
  examples.map(each => ({ ...each, data: { ...each.data, ...data } }))

/** Both bodies as they are read: text without its line breaks, HTML without its head and its preheader. */
function bodies({ template, data }: Example) {
  const { text, html } = render(template, data)
  const page = html.replace(/^.*<\/head>/s, '').replace(/<div style="display:none.*<\/div>/, '')
  return { text: text.replace(/\s+/g, ' '), html: page }
}

test('every mail tells its facts, as text and as HTML', t => {
  for (const each of examples) {
    const { name, data } = each.template
    t.ok(Value.Check(data, each.data), name)
    for (const [form, body] of Object.entries(bodies(each))) {
      for (const told of ['Hello Zoë,', ...each.tells]) t.ok(body.includes(told), `${name} ${form}: ${told}`)
    }
  }
  t.end()
})

test('a subject is short and says nothing that others may not read', t => {
  for (const { template, data } of examples) {
    const { subject } = render(template, data)
    t.match(subject, /^[A-Z][\w -]{10,59}$/, template.name)
    t.notMatch(subject, /Zoë|example/)
    t.match(template.preheader(data), /^[A-Z].{10,99}\.$/)
  }
  t.end()
})

test('what is not known is said to be unknown', t => {
  for (const nothing of [null, '', ' \n', '\u202e']) {
    for (const each of variants({ ip: nothing, user_agent: nothing })) {
      const { text, html } = bodies(each)
      t.notMatch(text + html, /\b(null|undefined|NaN|Invalid)\b/, each.template.name)
      t.match(text, /IP address: unknown Browser or app: unknown/, each.template.name)
    }
  }
  t.end()
})

test('nothing that comes from outside is HTML', t => {
  const hostile = `<b onclick='x'>&"`
  const tags = (each: Example) => bodies(each).html.match(/<[^>]*>/g)
  for (const [i, each] of variants({ first_name: hostile, user_agent: hostile, ip: hostile }).entries()) {
    t.strictSame(tags(each), tags(examples[i] ?? each), each.template.name)
    t.match(bodies(each).html, /Hello &lt;b onclick=&#39;x&#39;&gt;&amp;&quot;,/)
  }
  t.end()
})

test('nothing that comes from outside becomes a line of its own', t => {
  const hostile = 'Zoë\r\n\r\nCall\u2028us\u202e now'
  for (const each of variants({ first_name: hostile, user_agent: hostile })) {
    const { text } = render(each.template, each.data)
    t.match(text, /^Hello Zoë Call us now,$/m, each.template.name)
    t.notMatch(text, /^\s*Call/m)
    t.notMatch(text, /[\r\u2028\u202e]/)
  }
  t.end()
})

test('a stranger cannot place a link in a mail', t => {
  for (const lure of [
    'https://evil.example/a',
    'evil.example',
    'http://203.0.113.7/',
    'see.evil.example/win?x',
    'eve@evil.example',
  ]) {
    const strange = {
      first_name: lure,
      user_agent: `Mozilla/5.0 (go to ${lure} now) Firefox/140.0`,
      ip: lure,
    }
    for (const each of variants(strange)) {
      const { text, html } = bodies(each)
      t.notMatch(text + html, /evil|203\.0/, each.template.name)
      t.match(text, /^Hello, /)
      t.match(text, 'IP address: … Browser or app: Mozilla/5.0 (go to … now) Firefox/140.0')
    }
  }
  t.end()
})

test('names keep their dots and dashes', t => {
  for (const name of ['J. R.', 'J.R.', 'Anne-Marie', 'Nguyễn Thị', "O'Neil", '李', 'Dr. Zoë']) {
    const [each] = variants({ first_name: name })
    t.match(each && render(each.template, each.data).text, `Hello ${name},`)
  }
  t.end()
})

test('a name of a hundred characters fits, whatever they are, and more does not', t => {
  for (const { template, data } of variants({ first_name: '🐎'.repeat(100) })) {
    t.ok(Value.Check(template.data, data), template.name)
    t.match(render(template, data).text, /Hello\s🐎{100},/u)
    t.notOk(Value.Check(template.data, { ...data, first_name: 'x'.repeat(201) }))
  }
  t.end()
})

test('a long user agent is cut, and refused by no mail', t => {
  for (const each of variants({ user_agent: `Mozilla ${'x'.repeat(490)}` })) {
    t.ok(Value.Check(each.template.data, each.data), each.template.name)
    const { text } = bodies(each)
    t.match(text, /: Mozilla x{192}… /)
    t.notMatch(text, /x{193}/)
  }
  t.end()
})

test('times are those of UTC, wherever the service runs', t => {
  const before = process.env.TZ
  t.teardown(() => {
    if (before === undefined) delete process.env.TZ
    else process.env.TZ = before
  })
  process.env.TZ = 'Pacific/Kiritimati'
  for (const [at, shown] of [
    ['2026-01-01T00:00:00.000Z', '1 January 2026, 00:00 UTC'],
    ['2026-12-31T23:59:59.999Z', '31 December 2026, 23:59 UTC'],
    ['2028-02-29T12:30:00Z', '29 February 2028, 12:30 UTC'],
  ] as const) {
    t.match(bodies(example(newDeviceMail, { first_name, ...origin, at }, [])).text, `When: ${shown} `)
  }
  t.end()
})

test('a time that is none makes no mail', t => {
  const data = { first_name, ...origin, at: 'yesterday' }
  t.throws(() => render(newDeviceMail, data), RangeError)
  t.end()
})

test('every template is listed', async t => {
  const directory = new URL('../../src/mail/templates/', import.meta.url)
  const found: string[] = []
  for (const file of readdirSync(directory).filter(name => /\.[jt]s$/.test(name))) {
    const module = await import(new URL(file, directory).href)
    for (const template of Object.values(module).filter(isTemplate)) {
      t.equal(findTemplate(template.name), template, template.name)
      t.equal(template.name, basename(file, extname(file)))
      found.push(template.name)
    }
  }
  t.equal(new Set(found).size, 11)
  t.equal(found.length, 11)
})

const isTemplate = (value: unknown): value is Template =>
  typeof value === 'object' && value !== null && 'preheader' in value
