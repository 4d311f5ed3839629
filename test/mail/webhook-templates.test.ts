import { Value } from '@sinclair/typebox/value'
import { test } from 'tap'
import { MAX_URL_LENGTH } from '../../src/domains/webhooks/limits.ts'
import { render } from '../../src/mail/render.ts'
import { webhookDisabledMail } from '../../src/mail/templates/webhook-disabled.ts'

const url = 'https://hooks.example.com/till?a=1&b=2'
const id = '01a2005f-10f7-7175-97d7-369ea4b33d99'
const told = { gone: '410', failing: 'For five days' }

/** Both bodies as they are read: text without its line breaks, HTML without its head. */
function bodies(data: Parameters<typeof webhookDisabledMail.body>[0]) {
  const { text, html } = render(webhookDisabledMail, data)
  return { text: text.replace(/\s+/g, ' '), html: html.replace(/^.*<\/head>/s, '') }
}

test('who is told that a webhook was disabled hears which, why and what now', t => {
  for (const why of ['gone', 'failing'] as const) {
    const data = { first_name: 'Zoë', url, id, why }
    t.ok(Value.Check(webhookDisabledMail.data, data))
    const { text, html } = bodies(data)
    for (const fact of ['Hello Zoë,', url, id, told[why], 'until you enable it again', 'sent again'])
      t.ok(text.includes(fact), fact)
    for (const fact of ['Hello Zoë,', url.replace('&', '&amp;'), told[why]]) t.ok(html.includes(fact), fact)
    const { subject } = render(webhookDisabledMail, data)
    t.match(subject, /^[A-Z][\w -]{10,59}$/)
    t.match(webhookDisabledMail.preheader(data), /^[A-Z].{10,99}\.$/)
  }
  t.end()
})

test('what its owner wrote is neither HTML nor a line of its own', t => {
  const plain = { first_name: 'Zoë', url: 'https://x.example/', id, why: 'gone' } as const
  const hostile = { ...plain, first_name: `<b onclick='x'>`, url: `https://x.example/"><script>&'` }
  const tags = (data: typeof plain | typeof hostile) => bodies(data).html.match(/<[^>]*>/g)
  t.strictSame(tags(hostile), tags(plain))
  const broken = { ...plain, first_name: 'Zoë\r\nCall us', url: 'https://x.example/\r\nCall\u202e us' }
  t.notMatch(render(webhookDisabledMail, broken).text, /^\s*Call/m)
  t.end()
})

test('as long as a URL may be', t => {
  const long = `https://hooks.example.com/${'x'.repeat(MAX_URL_LENGTH - 26)}`
  t.equal(long.length, MAX_URL_LENGTH)
  const data = { first_name: '🐎'.repeat(100), url: long, id, why: 'gone' } as const
  t.ok(Value.Check(webhookDisabledMail.data, data))
  t.ok(bodies(data).text.includes(long))
  t.end()
})
