import { test } from 'tap'
import { newOpaqueToken, sha256 } from '../../src/lib/opaque.ts'

test('a token is random bytes that fit into a URL', t => {
  const tokens = Array.from({ length: 1000 }, () => newOpaqueToken())
  t.ok(tokens.every(token => /^[\w-]{43}$/.test(token)))
  t.equal(new Set(tokens).size, tokens.length)
  t.match(newOpaqueToken(16), /^[\w-]{22}$/)
  t.end()
})

test('the hash is SHA-256', t => {
  t.equal(sha256('abc').toString('hex'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  t.equal(sha256('ž').length, 32)
  t.end()
})
