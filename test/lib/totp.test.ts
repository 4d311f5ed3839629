import { Secret, TOTP, URI } from 'otpauth'
import { test } from 'tap'
import { decodeBase32, encodeBase32 } from '../../src/lib/base32.ts'
import { qrSvg } from '../../src/lib/qr.ts'
import { matchTotp, newTotpSecret, totpUri } from '../../src/lib/totp.ts'

/** RFC 6238, appendix B: the ASCII text 12345678901234567890. */
const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'

const at = (seconds: number) => new Date(seconds * 1000)
const account = { account: 'ann@example.com', issuer: 'Plinth' }

test('the codes are those of RFC 6238', t => {
  const vectors = [
    [59, '287082'],
    [1111111109, '081804'],
    [1111111111, '050471'],
    [1234567890, '005924'],
    [2000000000, '279037'],
    [20000000000, '353130'],
  ] as const
  for (const [seconds, code] of vectors) {
    t.equal(matchTotp(secret, code, at(seconds)), Math.floor(seconds / 30), code)
  }
  t.end()
})

test('a code is good for one step before and after its own, and says which it belongs to', t => {
  const code = '005924'
  const step = Math.floor(1234567890 / 30)
  const start = step * 30
  for (const seconds of [start - 30, start - 1, start, start + 29, start + 30, start + 59]) {
    t.equal(matchTotp(secret, code, at(seconds)), step, `${seconds - start}`)
  }
  for (const seconds of [start - 31, start + 60, start + 86_400]) {
    t.equal(matchTotp(secret, code, at(seconds)), undefined, `${seconds - start}`)
  }
  t.equal(matchTotp(secret, code, at(start + 29.999)), step)
  t.end()
})

test('what is not six digits is no code', t => {
  for (const code of [
    '',
    '05924',
    '0059240',
    '005 924',
    '005924\n',
    ' 05924',
    '00592a',
    '٠٠٥٩٢٤',
    '-05924',
  ]) {
    t.equal(matchTotp(secret, code, at(1234567890)), undefined, JSON.stringify(code))
  }
  t.end()
})

test('a code that two steps share belongs to the later, so it cannot be used for each', t => {
  // One pair of steps in a million; these were found by trying.
  const [earlier, later] = [40628458, 40628459]
  for (const step of [earlier, later]) {
    t.equal(new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: step * 30_000 }), '669470')
    t.equal(matchTotp(secret, '669470', at(step * 30)), later)
  }
  t.end()
})

test('another library agrees', t => {
  for (let i = 0; i < 200; i++) {
    const own = newTotpSecret()
    const now = at(1_700_000_000 + i * 7_777_777)
    const totp = new TOTP({ secret: Secret.fromBase32(own) })
    const code = totp.generate({ timestamp: now.getTime() })
    t.equal(matchTotp(own, code, now), Math.floor(now.getTime() / 30_000), `${own} ${code}`)
  }
  t.end()
})

test('secrets are 160 random bits', t => {
  const secrets = Array.from({ length: 1000 }, newTotpSecret)
  t.ok(secrets.every(each => /^[A-Z2-7]{32}$/.test(each)))
  t.equal(new Set(secrets).size, secrets.length)
  t.end()
})

test('the address for apps is read by another library as it was meant', t => {
  const names = [
    ['Plinth', 'ann@example.com'],
    ['Müller & Söhne', "o'neil+a/b?c=d&e#f%41@example.com"],
    ['A b', 'žofie@example.com'],
  ] as const
  for (const [issuer, name] of names) {
    const uri = totpUri({ secret, account: name, issuer })
    t.match(uri, /^otpauth:\/\/totp\/[\x21-\x7e]+$/)
    const read = URI.parse(uri)
    t.ok(read instanceof TOTP)
    t.match(read, { issuer, label: name, algorithm: 'SHA1', digits: 6, period: 30 })
    t.equal(read.secret.base32, secret)
  }
  t.end()
})

test('a colon in a name does not shift what is name and what is service', t => {
  const read = URI.parse(totpUri({ secret, account: 'ann@example.com', issuer: 'localhost:3000' }))
  t.match(read, { issuer: 'localhost 3000', label: 'ann@example.com' })
  t.end()
})

test('base32 is that of RFC 4648', t => {
  const vectors = [
    ['', ''],
    ['f', 'MY'],
    ['fo', 'MZXQ'],
    ['foo', 'MZXW6'],
    ['foob', 'MZXW6YQ'],
    ['fooba', 'MZXW6YTB'],
    ['foobar', 'MZXW6YTBOI'],
  ] as const
  for (const [plain, encoded] of vectors) {
    t.equal(encodeBase32(Buffer.from(plain)), encoded)
    t.equal(decodeBase32(encoded).toString(), plain)
  }
  const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  t.ok(decodeBase32(encodeBase32(every)).equals(every))
  t.end()
})

test('only our own base32 is read', t => {
  for (const text of ['my', 'MY======', 'M', 'MZ', 'MZX', 'M Y', 'M1', 'MY\n', '🐎', 'MZXW6YTBO']) {
    t.throws(() => decodeBase32(text), { message: 'This is not base32.' }, JSON.stringify(text))
  }
  t.throws(() => matchTotp('planted!', '123456', at(0)), { message: /^(?!.*planted)/ })
  t.end()
})

test('a QR code is an SVG that loads and runs nothing', t => {
  const svg = qrSvg(totpUri({ secret, ...account }))
  t.match(
    svg,
    /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 (\d+) \1"><rect fill="white" [^<>]*\/><path fill="black" d="[Mhvz\d,-]+"\/><\/svg>$/,
  )
  t.notMatch(svg, /script|href|style|\bon\w+=|url\(|<!/i)
  t.ok(svg.length < 20_000)
  t.equal(qrSvg('<script>"&').includes('script'), false)
  t.end()
})

test('a QR code has the border that readers need', t => {
  const svg = qrSvg('a')
  const size = Number(/viewBox="0 0 (\d+)/.exec(svg)?.[1])
  const starts = [...svg.matchAll(/M(\d+),(\d+)/g)].flatMap(([, x, y]) => [Number(x), Number(y)])
  t.equal(Math.min(...starts), 4)
  t.equal(Math.max(...starts), size - 5)
  t.end()
})
