import fp from 'fastify-plugin'
import { Unavailable } from '../lib/problems.ts'
import type { Mailer } from '../mail/mailer.ts'
import { listOf } from './on-route.ts'

declare module 'fastify' {
  interface FastifyInstance {
    mailer: Mailer
  }
  interface FastifyContextConfig {
    /** A route that sends mail: `required`, it answers 503 where mail is off; `optional`, it does without. */
    mail?: 'required' | 'optional'
  }
}

/** What routes send mail with; where mail is off, it says once which of them suffer. */
export default fp(
  async (app, { mailer }: { mailer: Mailer }) => {
    app.decorate('mailer', mailer)
    if (mailer.available) return

    // A GET route comes a second time, as HEAD.
    const operations = new Set<string>()
    app.addHook('onRoute', route => {
      const { mail } = route.config ?? {}
      if (mail === undefined) return
      operations.add(route.schema?.operationId ?? route.url)
      if (mail === 'required') route.preHandler = [refuse, ...listOf(route.preHandler)]
    })

    app.addHook('onReady', async () => {
      if (operations.size === 0) return
      const text = 'MAIL_SERVER is not set: operations that send mail do without it, or answer 503'
      app.log.warn({ operations: [...operations] }, text)
    })
  },
  { name: 'mail' },
)

async function refuse() {
  throw new Unavailable('This service cannot send mail.')
}
