import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import fastify from 'fastify'
import { type Test, test } from 'tap'
import { newId } from '../../src/lib/id.ts'
import accessToken, { type AccessTokens } from '../../src/plugins/access-token.ts'

const SECRET = 'the secret of these tests, and of no other place'
const OLD_SECRET = 'what the secret of these tests was some time ago'
const keyPair = newKeyPair()
const oldKeyPair = newKeyPair()

const eddsa = { JWT_PRIVATE_KEY: keyPair.privatePem }
const holder = { user_id: newId(), session_id: newId(), role: 'editor' as const }
const now = Math.floor(Date.now() / 1000)
const good = {
  iss: 'plinth',
  aud: 'plinth',
  sub: holder.user_id,
  sid: holder.session_id,
  jti: newId(),
  role: 'editor',
  is_admin: false,
  type: 'access',
  iat: now - 10,
  exp: now + 60,
}

function newKeyPair() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    privateKey,
    publicKey,
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  }
}

async function open(t: Test, variables = {}): Promise<AccessTokens> {
  const config = { JWT_SECRET_KEY: SECRET, JWT_ACCESS_TOKEN_EXPIRES: 900, ...variables }
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(accessToken, { config })
  return app.accessTokens
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

const decode = (token: string) =>
  token.split('.', 2).map(part => JSON.parse(Buffer.from(part, 'base64url').toString()))

function hmac(claims: object, { alg = 'HS256', key = SECRET as string | Buffer } = {}) {
  const text = `${encode({ alg, typ: 'JWT' })}.${encode(claims)}`
  const hash = `sha${alg.slice(2)}`
  return `${text}.${createHmac(hash, key).update(text).digest('base64url')}`
}

function ed25519(claims: object, { alg = 'EdDSA', key = keyPair.privateKey } = {}) {
  const text = `${encode({ alg, typ: 'JWT' })}.${encode(claims)}`
  return `${text}.${sign(null, Buffer.from(text), key).toString('base64url')}`
}

const unsigned = (alg: string) => `${encode({ alg, typ: 'JWT' })}.${encode(good)}.`

/** With another payload, and the signature as it was. */
function tamper(token: string) {
  const [header, , signature] = token.split('.')
  return `${header}.${encode({ ...good, sub: newId() })}.${signature}`
}

/** A good token of this length. */
function ofLength(length: number) {
  const bare = hmac({ ...good, pad: '' }).length
  const token = hmac({ ...good, pad: 'x'.repeat(Math.floor(((length - bare) * 3) / 4)) })
  return { token, length: token.length }
}

function setClock(t: Test, seconds: number) {
  const real = Date.now
  t.teardown(() => {
    Date.now = real
  })
  Date.now = () => seconds * 1000
}

const rawPublicKey = (key: KeyObject) => Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')

test('a token says whose it is, and how long it is good', async t => {
  for (const variables of [{}, eddsa]) {
    const tokens = await open(t, variables)
    const [header, claims] = decode(tokens.sign(holder))
    const { jti, iat, exp, ...rest } = claims
    t.strictSame(rest, {
      iss: 'plinth',
      aud: 'plinth',
      sub: holder.user_id,
      sid: holder.session_id,
      role: 'editor',
      is_admin: false,
      type: 'access',
    })
    t.ok(Math.abs(iat - Date.now() / 1000) < 5)
    t.equal(exp - iat, 900)
    t.equal(tokens.expires_in, 900)
    t.not(jti, decode(tokens.sign(holder))[1].jti)
    t.equal(decode(tokens.sign({ ...holder, role: 'admin' }))[1].is_admin, true)
    t.strictSame(header, {
      alg: tokens.publicKeys.length ? 'EdDSA' : 'HS256',
      typ: 'JWT',
      ...(tokens.publicKeys[0] && { kid: tokens.publicKeys[0].kid }),
    })
  }
})

test('reading returns what was signed, at first and from memory', async t => {
  for (const variables of [{}, eddsa]) {
    const tokens = await open(t, variables)
    const token = tokens.sign(holder)
    const expected = { sub: holder.user_id, sid: holder.session_id, exp: decode(token)[1].exp }
    t.strictSame(tokens.read(token), expected)
    t.strictSame(tokens.read(token), expected)
  }
})

test('a token of another kind, time or place is refused', async t => {
  const hmacTokens = await open(t)
  const eddsaTokens = await open(t, eddsa)
  t.ok(hmacTokens.read(hmac(good)))
  t.ok(eddsaTokens.read(ed25519(good)))
  const faults: Record<string, object> = {
    expired: { exp: now - 1 },
    'not yet valid': { nbf: now + 30 },
    'without an end': { exp: undefined },
    'an end that is text': { exp: `${now + 60}` },
    'an end that is null': { exp: null },
    'another type': { type: 'refresh' },
    'no type': { type: undefined },
    'another issuer': { iss: 'other' },
    'no issuer': { iss: undefined },
    'another audience': { aud: 'other' },
    'no audience': { aud: undefined },
    'no subject': { sub: undefined },
    'a subject that is no id': { sub: 'somebody' },
    subjects: { sub: [holder.user_id] },
    'no session': { sid: undefined },
    'a session that is no id': { sid: '1' },
    sessions: { sid: [holder.session_id] },
    'no name of its own': { jti: undefined },
    'no beginning': { iat: undefined },
  }
  for (const [name, fault] of Object.entries(faults)) {
    t.equal(hmacTokens.read(hmac({ ...good, ...fault })), undefined, `${name}, HS256`)
    t.equal(eddsaTokens.read(ed25519({ ...good, ...fault })), undefined, `${name}, EdDSA`)
  }
})

test('the algorithm is the one of the configuration', async t => {
  const hmacTokens = await open(t)
  for (const [name, token] of Object.entries({
    none: unsigned('none'),
    'no signature': unsigned('HS256'),
    HS384: hmac(good, { alg: 'HS384' }),
    HS512: hmac(good, { alg: 'HS512' }),
    EdDSA: ed25519(good),
    'EdDSA in disguise': ed25519(good, { alg: 'HS256' }),
  })) {
    t.equal(hmacTokens.read(token), undefined, `${name} where HS256 is`)
  }

  const eddsaTokens = await open(t, eddsa)
  const { publicKey, publicPem } = keyPair
  for (const [name, token] of Object.entries({
    none: unsigned('none'),
    'no signature': unsigned('EdDSA'),
    'the secret': hmac(good),
    'the public key in PEM as secret': hmac(good, { key: publicPem }),
    'the public key in PEM as secret, trimmed': hmac(good, { key: publicPem.trim() }),
    'the public key in DER as secret': hmac(good, { key: publicKey.export({ type: 'spki', format: 'der' }) }),
    'the bytes of the public key as secret': hmac(good, { key: rawPublicKey(publicKey) }),
    'the public JWK as secret': hmac(good, { key: JSON.stringify(eddsaTokens.publicKeys[0]) }),
    'the public key with HS512': hmac(good, { alg: 'HS512', key: publicPem }),
    'HS256 by name only': ed25519(good, { alg: 'HS256' }),
  })) {
    t.equal(eddsaTokens.read(token), undefined, `${name} where EdDSA is`)
  }
})

test('what is not ours, not whole or not a token at all is refused', async t => {
  const hmacTokens = await open(t)
  const eddsaTokens = await open(t, eddsa)
  const byHmac = hmacTokens.sign(holder)
  const byEddsa = eddsaTokens.sign(holder)
  t.ok(hmacTokens.read(byHmac) && eddsaTokens.read(byEddsa))
  const bad: Record<string, string> = {
    'a foreign secret': hmac(good, { key: OLD_SECRET }),
    'a foreign key': ed25519(good, { key: oldKeyPair.privateKey }),
    'another payload, HS256': tamper(byHmac),
    'another payload, EdDSA': tamper(byEddsa),
    'cut in the signature, HS256': byHmac.slice(0, -4),
    'cut in the signature, EdDSA': byEddsa.slice(0, -4),
    'cut in the payload': byHmac.slice(0, 200),
    'no signature': byHmac.slice(0, byHmac.lastIndexOf('.') + 1),
    'two parts': byHmac.slice(0, byHmac.lastIndexOf('.')),
    'four parts': `${byHmac}.${byHmac}`,
    padded: `${byHmac}=`,
    'with a space': `${byHmac} `,
    empty: '',
    dots: '..',
    garbage: 'x.y.z',
    text: 'Bearer',
    'not JSON': `${Buffer.from('{').toString('base64url')}.${encode(good)}.AAAA`,
    'a list': hmac([good]),
    'NUL and beyond': '\u0000.\ud800.\u{1f4a9}',
    '100 kB': 'x'.repeat(100_000),
    '100 kB of dots': '.'.repeat(100_000),
  }
  for (const [name, token] of Object.entries(bad)) {
    t.equal(hmacTokens.read(token), undefined, `${name} where HS256 is`)
    t.equal(eddsaTokens.read(token), undefined, `${name} where EdDSA is`)
  }
})

test('even a good token has its length', async t => {
  const tokens = await open(t)
  const longest = ofLength(4_096)
  t.ok(longest.length <= 4_096 && longest.length > 4_000)
  t.ok(tokens.read(longest.token))
  const longer = ofLength(4_200)
  t.ok(longer.length > 4_096)
  t.equal(tokens.read(longer.token), undefined)
})

test('a token that is remembered expires all the same', async t => {
  for (const variables of [{}, eddsa]) {
    const tokens = await open(t, variables)
    const token = tokens.sign(holder)
    const { exp } = decode(token)[1]
    await t.test('in time', async t => {
      t.ok(tokens.read(token))
      setClock(t, exp - 0.001)
      t.ok(tokens.read(token))
    })
    await t.test('too late', async t => {
      setClock(t, exp)
      t.equal(tokens.read(token), undefined)
      t.equal(tokens.read(tokens.sign(holder))?.exp, exp + 900)
    })
    await t.test('too late for the first time', async t => {
      const unread = tokens.sign(holder)
      setClock(t, decode(unread)[1].exp)
      t.equal(tokens.read(unread), undefined)
    })
  }
})

// A remembered token is not verified again, which shows where the clock goes back behind its `nbf`.
test('ten thousand tokens are remembered, and no more', async t => {
  const tokens = await open(t)
  const first = hmac({ ...good, jti: 'first', nbf: now })
  const second = hmac({ ...good, jti: 'second', nbf: now })
  t.ok(tokens.read(first) && tokens.read(second))
  for (let count = 2; count < 10_000; count++) tokens.read(tokens.sign(holder))
  await t.test('room for both', async t => {
    setClock(t, now - 5)
    t.ok(tokens.read(first), 'remembered')
    t.ok(tokens.read(second), 'remembered')
  })
  tokens.read(hmac({ ...good, type: 'refresh' }))
  tokens.read('garbage')
  tokens.read(tokens.sign(holder))
  await t.test('one too many', async t => {
    setClock(t, now - 5)
    t.equal(tokens.read(first), undefined, 'the oldest makes room')
    t.ok(tokens.read(second), 'only the oldest does, and nothing bad took a place')
  })
})

test('tokens of the secret before are good while it is configured', async t => {
  const before = await open(t, { JWT_SECRET_KEY: OLD_SECRET })
  const rotated = await open(t, { JWT_SECRET_KEY_PREVIOUS: OLD_SECRET })
  const after = await open(t)
  const old = before.sign(holder)
  const fresh = rotated.sign(holder)
  t.equal(rotated.read(old)?.sub, holder.user_id)
  t.equal(rotated.read(fresh)?.sub, holder.user_id)
  t.equal(after.read(old), undefined)
  t.ok(after.read(fresh), 'signed by the new one')
  t.equal(before.read(fresh), undefined)
  t.equal(rotated.read(hmac({ ...good, type: 'refresh' }, { key: OLD_SECRET })), undefined)
})

test('tokens of the key before are good while it is configured', async t => {
  const before = await open(t, { JWT_PRIVATE_KEY: oldKeyPair.privatePem })
  const rotated = await open(t, { ...eddsa, JWT_PUBLIC_KEY_PREVIOUS: oldKeyPair.publicPem })
  const after = await open(t, eddsa)
  const old = before.sign(holder)
  const fresh = rotated.sign(holder)
  t.equal(rotated.read(old)?.sub, holder.user_id)
  t.equal(rotated.read(fresh)?.sub, holder.user_id)
  t.equal(after.read(old), undefined)
  t.ok(after.read(fresh), 'signed by the new one')
  t.equal(before.read(fresh), undefined)
  t.equal(rotated.read(hmac(good, { key: oldKeyPair.publicPem })), undefined)
  t.strictSame(rotated.publicKeys, [...after.publicKeys, ...before.publicKeys])
})

test('keys may be written on one line, and the one before may still be the one now', async t => {
  const line = (pem: string) => pem.trim().replaceAll('\n', '\\n')
  const tokens = await open(t, {
    JWT_PRIVATE_KEY: line(keyPair.privatePem),
    JWT_PUBLIC_KEY_PREVIOUS: line(keyPair.publicPem),
  })
  t.ok(tokens.read(ed25519(good)))
  t.equal(tokens.publicKeys.length, 1)
})

test('public keys hold nothing private', async t => {
  const { publicKeys } = await open(t, eddsa)
  t.strictSame(
    publicKeys.map(key => Object.keys(key).sort()),
    [['alg', 'crv', 'kid', 'kty', 'use', 'x']],
  )
  const [key] = publicKeys
  t.ok(createPublicKey({ key: { ...key }, format: 'jwk' }).equals(keyPair.publicKey))
  t.strictSame((await open(t)).publicKeys, [])
})

test('nothing else can sign or verify', async t => {
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(accessToken, { config: { JWT_SECRET_KEY: SECRET, JWT_ACCESS_TOKEN_EXPIRES: 900 } })
  await app.ready()
  t.notOk(app.hasDecorator('jwt'))
  t.notOk(app.hasRequestDecorator('jwtVerify'))
  t.notOk(app.hasRequestDecorator('user'))
})
