import { createHmac } from 'node:crypto'
import { test } from 'tap'
import type { App } from '../../src/app.ts'
import { ADMINS } from '../../src/lib/access.ts'
import { newId } from '../../src/lib/id.ts'
import { build, probe, recordingLogger, signedIn, testConfig } from '../helper.ts'

const secret = testConfig().JWT_SECRET_KEY
const good = {
  iss: 'plinth',
  aud: 'plinth',
  sub: '01a1fe6d-2985-7239-9535-76034f419dc5',
  role: 'admin',
  is_admin: true,
  type: 'access',
  iat: Math.floor(Date.now() / 1000) - 10,
  exp: Math.floor(Date.now() / 1000) + 60,
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

function token(
  claims: object,
  { header = { alg: 'HS256', typ: 'JWT' }, key = secret, hash = 'sha256' } = {},
) {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${createHmac(hash, key).update(text).digest('base64url')}`
}

const guarded = (app: App, authorization?: string) =>
  app.inject({ url: '/guarded', headers: authorization === undefined ? {} : { authorization } })

async function open(t: Parameters<typeof build>[0], logger = recordingLogger()) {
  return build(t, {
    logger: logger.logger,
    routes: async app => {
      app.get(
        '/guarded',
        { ...probe('getGuarded'), config: { access: ADMINS } },
        async ({ user, actor }) => ({ user, actor }),
      )
      app.get('/open', probe('getOpen'), async ({ user, actor }) => ({ user, actor }))
    },
  })
}

test('a good token lets its holder in, and says who acts', async t => {
  const log = recordingLogger()
  const app = await open(t, log)
  const answer = await guarded(app, `Bearer ${token(good)}`)
  t.equal(answer.statusCode, 200)
  t.match(answer.json(), {
    user: { id: good.sub, role: 'admin' },
    actor: { type: 'user', id: good.sub, origin: { ip: '127.0.0.1', user_agent: 'lightMyRequest' } },
  })
  t.equal(answer.json().actor.origin.request_id, answer.headers['x-request-id'])
  t.match(
    log.lines().find(({ msg }) => msg === 'request'),
    { user_id: good.sub, operation_id: 'getGuarded' },
  )
  t.notMatch(log.text(), /eyJ/, 'no part of a token is logged')
})

test('on a public route nobody is asked', async t => {
  const app = await open(t)
  const answer = await app.inject({ url: '/open', headers: { authorization: 'Bearer nonsense' } })
  t.match(answer.json(), { user: null, actor: { type: 'anonymous', id: null } })
})

test('everything else is 401, and says no more', async t => {
  const app = await open(t)
  const tampered = token(good).split('.')
  const bad: Record<string, string | undefined> = {
    nothing: undefined,
    'no scheme': token(good),
    'another scheme': `Basic ${token(good)}`,
    'no token': 'Bearer ',
    garbage: 'Bearer x.y.z',
    'no algorithm': `Bearer ${encode({ alg: 'none', typ: 'JWT' })}.${encode(good)}.`,
    'another algorithm': `Bearer ${token(good, { header: { alg: 'HS512', typ: 'JWT' }, hash: 'sha512' })}`,
    'another key': `Bearer ${token(good, { key: 'x'.repeat(32) })}`,
    'other claims': `Bearer ${tampered[0]}.${encode({ ...good, sub: newId() })}.${tampered[2]}`,
    expired: `Bearer ${token({ ...good, exp: good.iat })}`,
    'without an end': `Bearer ${token({ ...good, exp: undefined })}`,
    'not yet valid': `Bearer ${token({ ...good, nbf: good.exp })}`,
    'another issuer': `Bearer ${token({ ...good, iss: 'other' })}`,
    'another audience': `Bearer ${token({ ...good, aud: 'other' })}`,
    'another type': `Bearer ${token({ ...good, type: 'refresh' })}`,
    'no subject': `Bearer ${token({ ...good, sub: undefined })}`,
    'an unknown role': `Bearer ${token({ ...good, role: 'owner' })}`,
    'cut off': `Bearer ${token(good).slice(0, -3)}`,
  }
  for (const [name, authorization] of Object.entries(bad)) {
    const answer = await guarded(app, authorization)
    t.equal(answer.statusCode, 401, name)
    t.equal(answer.json().code, 'unauthenticated', name)
    t.equal(answer.headers['www-authenticate'], 'Bearer', name)
  }
})

test('a role that the route does not name is 403', async t => {
  const app = await open(t)
  for (const role of ['user', 'editor'] as const) {
    const answer = await app.inject({ url: '/guarded', headers: await signedIn(app, role) })
    t.match(answer.json(), { code: 'forbidden', status: 403 })
  }
})
