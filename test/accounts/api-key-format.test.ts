import { crc32 } from 'node:zlib'
import { test } from 'tap'
import { isApiKey, newApiKey, shownPart } from '../../src/accounts/api-key-format.ts'

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Made with another implementation of CRC-32 (Python's zlib). */
const known = [
  'plk_0123456789ABCDEFGHIJKLMNOPQRSTUVWX0TeJoD',
  'plk_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz2Mm4wV',
  'plk_cSO4tjsdDCTFyMlwLVNAKveD7c1O2suNYO00SY5w',
]

test('a key is a prefix and forty characters, and no two are the same', t => {
  const keys = Array.from({ length: 5000 }, newApiKey)
  for (const key of keys) {
    if (!/^plk_[0-9A-Za-z]{40}$/.test(key) || !isApiKey(key)) t.fail(key)
  }
  t.equal(new Set(keys).size, keys.length)
  t.end()
})

test('every character is as likely as any other', t => {
  const characters = Array.from({ length: 2000 }, () => newApiKey().slice(4, 38)).join('')
  const counts = new Map<string, number>()
  for (const character of characters) counts.set(character, (counts.get(character) ?? 0) + 1)
  t.equal(counts.size, 62)
  const expected = characters.length / 62
  // Seven standard deviations. The first eight of 62 would be off by eight, were bytes taken modulo 62.
  for (const [character, count] of counts) {
    t.ok(Math.abs(count - expected) < 7 * Math.sqrt(expected), `${character} ${count}`)
  }
  t.end()
})

test('the checksum is CRC-32 in base62', t => {
  t.equal(crc32('123456789'), 0xcbf43926)
  for (const key of known) t.ok(isApiKey(key), key)
  t.end()
})

test('each slip of one character is caught', t => {
  for (const key of [...known, newApiKey()]) {
    for (let i = 0; i < key.length; i++) {
      for (const other of ALPHABET) {
        if (other === key[i]) continue
        const slip = key.slice(0, i) + other + key.slice(i + 1)
        if (isApiKey(slip)) t.fail(slip)
      }
      for (const slip of [
        key.slice(0, i),
        key.slice(0, i) + key.slice(i + 1),
        `${key.slice(0, i)}A${key.slice(i)}`,
      ]) {
        if (isApiKey(slip)) t.fail(slip)
      }
    }
  }
  t.end()
})

test('each swap of neighbours is caught', t => {
  for (const key of [...known, newApiKey()]) {
    for (let i = 0; i < key.length - 1; i++) {
      const slip = key.slice(0, i) + key.charAt(i + 1) + key.charAt(i) + key.slice(i + 2)
      if (slip !== key && isApiKey(slip)) t.fail(slip)
    }
  }
  t.end()
})

test('what is not a key is none', t => {
  const key = newApiKey()
  for (const text of [
    '',
    'plk_',
    ` ${key}`,
    `${key}\n`,
    `${key}${key}`,
    key.slice(4),
    key.replace('plk_', 'PLK_'),
    `plk_${'é'.repeat(40)}`,
    `plk_${'0'.repeat(40)}`,
    `plk_${'-'.repeat(40)}`,
  ]) {
    t.equal(isApiKey(text), false, JSON.stringify(text))
  }
  t.end()
})

test('of a key, twelve characters are shown', t => {
  const [key = ''] = known
  t.equal(shownPart(key), key.slice(0, 12))
  t.match(shownPart(newApiKey()), /^plk_[0-9A-Za-z]{8}$/)
  t.end()
})
