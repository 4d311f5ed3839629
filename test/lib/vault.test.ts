import { test } from 'tap'
import { createVault } from '../../src/lib/vault.ts'

const secret = 'only for tests, 32 characters long'
const vault = createVault(secret, 'test')
const damaged = { message: /damaged|not sealed here/ }

test('what was sealed can be opened', t => {
  for (const text of ['', 'a', 'Žluťoučký kůň 🐎', 'x'.repeat(100_000)]) {
    const sealed = vault.seal(text)
    t.match(sealed, /^v1\.[\w-]+$/)
    t.equal(createVault(secret, 'test').open(sealed), text)
  }
  t.notMatch(vault.seal('ann@example.com'), /ann/)
  t.end()
})

test('two seals of the same text differ', t => {
  const seals = Array.from({ length: 100 }, () => vault.seal('same'))
  t.equal(new Set(seals).size, 100)
  t.end()
})

test('a change anywhere is noticed', t => {
  // 28 bytes and one more leave bits over in the last character.
  const sealed = vault.seal('a')
  for (let i = 0; i < sealed.length; i++) {
    for (const other of ['A', 'B', 'w', '=', ' ']) {
      if (sealed[i] === other) continue
      t.throws(() => vault.open(sealed.slice(0, i) + other + sealed.slice(i + 1)), damaged, `${i} ${other}`)
    }
    t.throws(() => vault.open(sealed.slice(0, i)), damaged, `cut at ${i}`)
  }
  t.throws(() => vault.open(`${sealed}A`), damaged)
  t.throws(() => vault.open(`${sealed}\n`), damaged)
  t.end()
})

test('another key or another purpose opens nothing, and the error says nothing', t => {
  const sealed = vault.seal('planted')
  for (const other of [createVault(`${secret}.`, 'test'), createVault(secret, 'tests')]) {
    try {
      other.open(sealed)
      t.fail('it was opened')
    } catch (error) {
      t.match(error, damaged)
      t.equal((error as Error).cause, undefined)
      t.notMatch((error as Error).stack, /planted/)
    }
  }
  t.end()
})

test('the first secret seals, each of them opens', t => {
  const rotated = createVault(['a new secret of 32 characters...', secret, 'one before'], 'test')
  const [old, oldest] = [vault.seal('old'), createVault('one before', 'test').seal('oldest')]
  const sealed = rotated.seal('new')
  t.strictSame([sealed, old, oldest].map(rotated.open), ['new', 'old', 'oldest'])
  t.strictSame([sealed, old, oldest].map(rotated.isCurrent), [true, false, false])
  t.throws(() => vault.open(sealed), damaged)
  t.throws(() => rotated.open(createVault('a stranger', 'test').seal('x')), damaged)
  t.throws(() => rotated.open(createVault(secret, 'tests').seal('x')), damaged)
  t.end()
})

test('a vault with one secret is that of the secret', t => {
  const one = createVault([secret], 'test')
  t.equal(one.open(vault.seal('same')), 'same')
  t.ok(vault.isCurrent(one.seal('same')))
  t.end()
})

test('what is damaged is not current, and asking does not throw', t => {
  const sealed = vault.seal('a')
  for (const text of ['', 'v1.', 'planted', sealed.slice(0, -1), `v1.A${sealed.slice(4)}`]) {
    if (text !== sealed) t.equal(vault.isCurrent(text), false, text)
  }
  t.end()
})
