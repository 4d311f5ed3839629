import { Type } from '@sinclair/typebox'
import { test } from 'tap'
import { render } from '../../src/mail/render.ts'
import { defineTemplate } from '../../src/mail/template.ts'
import { findTemplate } from '../../src/mail/templates/index.ts'
import { testMail } from '../../src/mail/templates/test.ts'

const everything = defineTemplate({
  name: 'everything',
  data: Type.Object({ name: Type.String(), url: Type.String() }),
  subject: ({ name }) => `Hello ${name}`,
  preheader: ({ name }) => `Before ${name}`,
  body: ({ name, url }) => [
    { kind: 'paragraph', text: `Dear ${name}` },
    { kind: 'button', label: `Go, ${name}`, url },
    { kind: 'code', text: name },
    {
      kind: 'facts',
      facts: [
        ['Name', name],
        [name, 'value'],
      ],
    },
    { kind: 'small', text: `For ${name}` },
  ],
})

const url = 'https://example.com/verify?token=abc&next=%2F'

test('text and HTML say the same', t => {
  const { subject, text, html } = render(everything, { name: 'Zoë', url })
  t.equal(subject, 'Hello Zoë')
  t.equal(text, `Dear Zoë\n\nGo, Zoë:\n${url}\n\n    Zoë\n\nName: Zoë\nZoë: value\n\nFor Zoë\n`)
  for (const part of ['Dear Zoë', 'Go, Zoë', 'For Zoë', 'Before Zoë', '>Zoë</td>', '<html lang="en"']) {
    t.ok(html.includes(part), part)
  }
  t.ok(html.includes('href="https://example.com/verify?token=abc&amp;next=%2F"'))
  t.end()
})

test('nothing that comes from data is HTML', t => {
  const name = `<script>alert("1")</script><img src=x onerror='y'>&amp;`
  const { html } = render(everything, { name, url: `https://example.com/"><script>'` })
  const own = render(everything, { name: '', url: 'https://example.com/' }).html
  const shape = (page: string) => (page.match(/<[^>]*>/g) ?? []).map(tag => tag.replace(/ href="[^"]*"/, ''))
  t.strictSame(shape(html), shape(own))
  t.match(html, /&lt;script&gt;alert\(&quot;1&quot;\)/)
  t.match(html, /&amp;amp;/)
  t.match(html, /onerror=&#39;y&#39;/)
  t.end()
})

test('a mail loads nothing from anywhere', t => {
  const { html } = render(everything, { name: 'Ann', url })
  t.notMatch(html, /<(img|link|script|style|iframe|object|video|audio|base)\b/i)
  t.notMatch(html, /\bsrc=|url\(|@import|background=/i)
  const addresses = new Set(html.match(/https?:[^"<]*/g))
  t.strictSame([...addresses], ['https://example.com/verify?token=abc&amp;next=%2F'])
  t.end()
})

test('a subject is one line', t => {
  for (const end of ['\r\n', '\n', '\r', '\u0000', '\u2028', '\u0085', '\r\n\r\n']) {
    const { subject } = render(everything, { name: `Ann${end}Bcc: eve@example.com`, url })
    t.equal(subject, 'Hello Ann Bcc: eve@example.com')
  }
  t.end()
})

test('a button leads to the web', t => {
  for (const bad of [
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    '/path',
    '',
    'planted',
  ]) {
    t.throws(() => render(everything, { name: 'Ann', url: bad }), {
      message: 'The address of a button must begin with https:// or http://.',
    })
  }
  const { text } = render(everything, { name: 'Ann', url: 'http://localhost:3000/a\r\nb c' })
  t.match(text, /^http:\/\/localhost:3000\/ab%20c$/m)
  t.end()
})

test('text is wrapped, and links are not', t => {
  const long = `https://example.com/${'a'.repeat(300)}`
  const { text } = render(everything, { name: 'word '.repeat(60), url: long })
  const lines = text.split('\n')
  t.ok(lines.includes(long))
  // A code is short, and has to stay in one piece.
  for (const line of lines.filter(each => each !== long && !each.startsWith('    '))) {
    t.ok(line.length <= 78, line)
  }
  t.end()
})

test('a name cannot look like a paragraph of ours', t => {
  const { text } = render(everything, { name: 'Ann\n\nYour account is closed.', url })
  t.match(text, /^Dear Ann Your account is closed\.$/m)
  t.end()
})

test('the test mail says when and where it was asked for', t => {
  const data = { asked_at: '2026-11-21T10:00:00.000Z', host: 'web-1', environment: 'staging' }
  const { subject, text } = render(testMail, data)
  t.match(subject, /web-1/)
  t.match(text, /2026-11-21T10:00:00\.000Z/)
  t.match(text, /staging/)
  t.end()
})

test('templates are found by their names', t => {
  t.equal(findTemplate('test'), testMail)
  t.equal(findTemplate('constructor'), undefined)
  t.end()
})
