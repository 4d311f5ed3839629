import { availableParallelism } from 'node:os'
import argon2 from 'argon2'
import { test } from 'tap'
import { createPasswords, type Passwords } from '../../src/accounts/passwords.ts'
import { Unavailable } from '../../src/lib/problems.ts'

const cheap = {
  ARGON2_MEMORY_COST: 8192,
  ARGON2_TIME_COST: 1,
  ARGON2_PARALLELISM: 1,
  PASSWORD_BLOCKLIST: true,
  WEB_CONCURRENCY: 1,
}

const password = 'correct horse battery'

/** Whether a password is right for whoever has this hash. */
async function verifies(passwords: Passwords, password_hash: string | null | undefined, typed: string) {
  const find = async () => (password_hash == null ? undefined : { password_hash })
  return (await passwords.verify(find, typed)).right
}

test('a hash is argon2id with the configured parameters, and salted', async t => {
  const passwords = createPasswords({ ...cheap, ARGON2_MEMORY_COST: 19_456, ARGON2_TIME_COST: 2 })
  const hash = await passwords.hash(password)
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  t.not(await passwords.hash(password), hash)
})

test('only the password itself verifies', async t => {
  const passwords = createPasswords(cheap)
  const hash = await passwords.hash(password)
  t.equal(await verifies(passwords, hash, password), true)
  for (const other of [`${password} `, password.toUpperCase(), password.slice(1), '']) {
    t.equal(await verifies(passwords, hash, other), false, JSON.stringify(other))
  }
})

test('a password is the same, however a device spells its characters', async t => {
  const passwords = createPasswords(cheap)
  const spellings = ['caf\u00e9 ①② pass', 'cafe\u0301 ①② pass', 'cafe\u0301 12 ｐａｓｓ']
  for (const stored of spellings) {
    const hash = await passwords.hash(stored)
    for (const typed of spellings) t.equal(await verifies(passwords, hash, typed), true)
    t.equal(await verifies(passwords, hash, 'cafe 12 pass'), false)
  }
  const longest = '\ufdfa'.repeat(128)
  t.equal(await verifies(passwords, await passwords.hash(longest), longest), true)
})

test('a hash of other parameters verifies, and is outdated', async t => {
  const before = createPasswords(cheap)
  const hash = await before.hash(password)
  t.equal(before.isOutdated(hash), false)
  for (const change of [{ ARGON2_MEMORY_COST: 9000 }, { ARGON2_TIME_COST: 2 }, { ARGON2_PARALLELISM: 2 }]) {
    const now = createPasswords({ ...cheap, ...change })
    t.equal(now.isOutdated(hash), true)
    t.equal(await verifies(now, hash, password), true)
    t.equal(now.isOutdated(await now.hash(password)), false)
  }
  t.equal(before.isOutdated(hash.replace('argon2id', 'argon2i')), true)
})

test('without a usable hash the same work is done, from the very first time', async t => {
  const calls = t.capture(argon2, 'verify', argon2.verify)
  const hashed = t.capture(argon2, 'hash', argon2.hash)
  const whole = `$argon2id$v=19$m=8192,t=1,p=1$${'a'.repeat(22)}$${'a'.repeat(43)}`
  const damaged = ['', 'secret', whole.slice(0, -1), whole.replace('$m', '$x'), whole.replaceAll('a$', '_$')]
  for (const hash of [undefined, null, ...damaged]) {
    t.equal(await verifies(createPasswords(cheap), hash, password), false)
    const done = calls()
    t.equal(done.length, 1, JSON.stringify(hash))
    t.match(done[0]?.args, [/^\$argon2id\$v=19\$m=8192,t=1,p=1\$[^$]{22}\$[^$]{43}$/, password])
  }
  t.strictSame(hashed(), [])
})

test('no more are worked on at once than leave a core free, and too many are refused', async t => {
  const passwords = createPasswords({ ...cheap, ARGON2_MEMORY_COST: 100_000 })
  const tooLate = { message: /waiting/, statusCode: 503, headers: { 'retry-after': '3' } }
  let atOnce = 0
  let most = 0
  let finish = () => {}
  const until = new Promise<void>(resolve => {
    finish = resolve
  })
  t.intercept(argon2, 'verify', {
    value: async () => {
      most = Math.max(most, ++atOnce)
      await until
      atOnce--
      return true
    },
  })
  const asked = Array.from({ length: 200 }, () => verifies(passwords, undefined, password))
  const outcomes = Promise.allSettled(asked)
  await t.rejects(passwords.hash(password), tooLate)
  finish()
  const refused = (await outcomes).filter(({ status }) => status === 'rejected')
  t.equal(most, Math.min(Math.max(availableParallelism() - 1, 1), 3))
  t.equal(refused.length, 200 - most - most * 20)
  t.ok(refused.every(outcome => 'reason' in outcome && outcome.reason instanceof Unavailable))
  t.equal(await verifies(passwords, undefined, password), false)
})

test('what everybody uses is common, in any spelling', async t => {
  const passwords = createPasswords(cheap)
  const common = [
    'password',
    'PassWord123',
    'ｐａｓｓｗｏｒｄ',
    'qwertyuiop',
    '12345678',
    '87654321',
    '00000000',
  ]
  for (const used of [...common, 'aaaaaaaa', 'abcabcabc', '12341234', 'abcdefgh']) {
    t.equal(await passwords.isCommon(used), true, used)
  }
  for (const own of [password, 'password","12345678', '"password"', 'xpasswordx', 'abcdefgz', '12341235']) {
    t.equal(await passwords.isCommon(own), false, own)
  }
})

test('nothing is common where the list is off', async t => {
  const passwords = createPasswords({ ...cheap, PASSWORD_BLOCKLIST: false })
  for (const used of ['password', '00000000']) t.equal(await passwords.isCommon(used), false)
})
