import { generateKeyPairSync } from 'node:crypto'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify from 'fastify'
import { calculateJwkThumbprint, createLocalJWKSet, jwtVerify } from 'jose'
import { type Test, test } from 'tap'
import wellKnown from '../../src/domains/well-known/index.ts'
import { newId } from '../../src/lib/id.ts'
import { allComponents } from '../../src/lib/schema.ts'
import accessToken from '../../src/plugins/access-token.ts'

const current = newKeyPair()
const previous = newKeyPair()
const holder = { user_id: newId(), session_id: newId(), role: 'user' as const }
const ours = { issuer: 'plinth', audience: 'plinth' }

function newKeyPair() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  }
}

async function open(t: Test, variables = {}) {
  const app = fastify().withTypeProvider<TypeBoxTypeProvider>()
  t.teardown(() => app.close())
  for (const schema of allComponents()) app.addSchema(schema)
  const config = { JWT_SECRET_KEY: 'x'.repeat(32), JWT_ACCESS_TOKEN_EXPIRES: 900, ...variables }
  await app.register(accessToken, { config })
  await app.register(wellKnown.routes, { prefix: wellKnown.prefix })
  return app
}

test('another service verifies our tokens with the keys, the previous one too', async t => {
  const before = await open(t, { JWT_PRIVATE_KEY: previous.privatePem })
  const app = await open(t, {
    JWT_PRIVATE_KEY: current.privatePem,
    JWT_PUBLIC_KEY_PREVIOUS: previous.publicPem,
  })
  const answer = await app.inject('/.well-known/jwks.json')
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers['cache-control'], 'public, max-age=300')
  t.match(answer.headers['content-type'], /^application\/json/)
  const { keys } = answer.json()
  for (const key of keys) {
    t.strictSame(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'])
    t.match(key, { kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig' })
    t.equal(key.kid, await calculateJwkThumbprint(key))
  }

  const keySet = createLocalJWKSet({ keys })
  for (const [index, token] of [app, before].map(({ accessTokens }) => accessTokens.sign(holder)).entries()) {
    const { payload, protectedHeader } = await jwtVerify(token, keySet, ours)
    t.match(payload, { sub: holder.user_id, sid: holder.session_id, type: 'access' })
    t.equal(protectedHeader.kid, keys[index].kid)
  }
  const stranger = (await open(t, { JWT_PRIVATE_KEY: newKeyPair().privatePem })).accessTokens.sign(holder)
  await t.rejects(jwtVerify(stranger, keySet, ours))
})

test('a shared secret has no public half', async t => {
  const app = await open(t)
  const answer = await app.inject('/.well-known/jwks.json')
  t.strictSame([answer.statusCode, answer.json()], [200, { keys: [] }])
  const { accessTokens } = await open(t, { JWT_PUBLIC_KEY_PREVIOUS: previous.publicPem })
  t.strictSame(accessTokens.publicKeys, [])
})
