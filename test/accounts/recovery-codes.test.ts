import { test } from 'tap'
import { newRecoveryCodes, normaliseRecoveryCode } from '../../src/accounts/recovery-codes.ts'

test('ten codes of 80 bits, in groups, without look-alikes', t => {
  const codes = newRecoveryCodes()
  t.equal(codes.length, 10)
  for (const code of codes) t.match(code, /^[0-9a-hjkmnp-tv-z]{4}(-[0-9a-hjkmnp-tv-z]{4}){3}$/)
  const many = Array.from({ length: 1000 }, newRecoveryCodes).flat()
  t.equal(new Set(many).size, many.length)
  t.end()
})

test('every symbol is as likely as any other', t => {
  const symbols = Array.from({ length: 1000 }, newRecoveryCodes).flat().join('').replaceAll('-', '')
  const counts = new Map<string, number>()
  for (const symbol of symbols) counts.set(symbol, (counts.get(symbol) ?? 0) + 1)
  t.equal(counts.size, 32)
  const expected = symbols.length / 32
  // Ten standard deviations, about 700 of 5 000: chance does not reach it, a missed bit does.
  for (const [symbol, count] of counts) t.ok(Math.abs(count - expected) < 10 * Math.sqrt(expected), symbol)
  t.end()
})

test('a code is known however it was typed', t => {
  const [code = ''] = newRecoveryCodes()
  t.equal(normaliseRecoveryCode(code), code)
  const bare = code.replaceAll('-', '')
  for (const typed of [
    code.toUpperCase(),
    bare,
    code.replaceAll('-', ' '),
    code.replaceAll('-', '\u2014'),
    code.replaceAll('-', '\u2011'),
    ` ${bare.split('').join(' ')}\n`,
    code.replaceAll('-', ' - '),
    `${bare.slice(0, 7)}-${bare.slice(7)}`,
  ]) {
    t.equal(normaliseRecoveryCode(typed), code, typed)
  }
  t.end()
})

test('look-alikes are forgiven', t => {
  t.equal(normaliseRecoveryCode('iIlL-oO00-abcd-efgh'), '1111-0000-abcd-efgh')
  t.end()
})

test('what cannot be a code is none', t => {
  for (const text of [
    '',
    '-',
    '1234',
    '123456',
    '0000-0000-0000-000',
    '0000-0000-0000-0000-0',
    '0000-0000-0000-000u',
    '0000-0000-0000-000!',
    '0000-0000-0000-000ä',
    '0000_0000_0000_0000',
    '٠٠٠٠-0000-0000-0000',
  ]) {
    t.equal(normaliseRecoveryCode(text), undefined, text)
  }
  t.end()
})
