import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { type Test, test } from 'tap'
import type { Mailer } from '../../src/mail/mailer.ts'
import mail from '../../src/plugins/mail.ts'
import { build, probe, recordingLogger, signedIn } from '../helper.ts'

const mailer = (available: boolean): Mailer => ({
  available,
  send: async () => {},
  notify: async () => {},
})

async function buildWith(t: Test, available: boolean, declare = true) {
  const log = recordingLogger()
  let handled = 0
  const routes: FastifyPluginAsyncTypebox = async app => {
    // In a scope of its own, so that it does not matter whether the service has the plugin by itself.
    await app.register(mail, { mailer: mailer(available) })
    const handler = async () => ({ handled: ++handled })
    const config = { access: 'public' as const }
    app.get('/plain', probe('plain'), handler)
    if (!declare) return
    app.get('/needs', { ...probe('needsMail'), config: { ...config, mail: 'required' as const } }, handler)
    app.get(
      '/likes',
      { ...probe('likesMail'), config: { ...config, mail: 'optional' as const } },
      async () => ({
        available: app.mailer.available,
      }),
    )
    const guarded = { access: { roles: ['admin' as const] }, mail: 'required' as const }
    app.post('/guarded', { ...probe('guardedMail'), config: guarded }, handler)
    const body = Type.Object({ name: Type.String() }, { additionalProperties: false })
    app.post(
      '/body',
      { ...probe('bodyMail', { body }), config: { ...config, mail: 'required' as const } },
      handler,
    )
  }
  const app = await build(t, { routes, logger: log.logger })
  const warnings = log
    .lines()
    .filter(({ level, operations }) => (level === 'warn' || level === 40) && operations)
  return { app, warnings, handled: () => handled }
}

test('with mail, routes that send it are like any other', async t => {
  const { app, warnings } = await buildWith(t, true)
  t.strictSame(warnings, [])
  t.equal((await app.inject('/needs')).statusCode, 200)
  t.strictSame((await app.inject('/likes')).json(), { available: true })
})

test('without mail, what needs it is unavailable and what likes it goes on', async t => {
  const { app, handled } = await buildWith(t, false)
  const refused = await app.inject('/needs')
  t.equal(refused.statusCode, 503)
  t.match(refused.json(), { code: 'unavailable', detail: 'This service cannot send mail.' })
  t.equal((await app.inject({ method: 'HEAD', url: '/needs' })).statusCode, 503)
  t.equal(handled(), 0)
  t.strictSame((await app.inject('/likes')).json(), { available: false })
  t.equal((await app.inject('/plain')).statusCode, 200)
})

test('who may not call learns nothing of mail', async t => {
  const { app } = await buildWith(t, false)
  const call = (headers: Record<string, string>) => app.inject({ method: 'POST', url: '/guarded', headers })
  t.equal((await call({})).statusCode, 401)
  t.equal((await call(await signedIn(app, 'user'))).statusCode, 403)
  t.equal((await call(await signedIn(app))).statusCode, 503)
})

test('one warning names the operations, each once', async t => {
  const { warnings } = await buildWith(t, false)
  t.equal(warnings.length, 1)
  t.strictSame(warnings[0].operations, ['needsMail', 'likesMail', 'guardedMail', 'bodyMail'])
  t.match(warnings[0].msg, /mail/i)
})

test('where no route sends mail, there is nothing to warn of', async t => {
  t.strictSame((await buildWith(t, false, false)).warnings, [])
})
