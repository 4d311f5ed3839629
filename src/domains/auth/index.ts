import type { Domain } from '../domain.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { linkRoutes } from './routes/links.ts'
import { loginRoutes } from './routes/login.ts'
import { mfaRoutes } from './routes/mfa.ts'
import { sessionRoutes } from './routes/sessions.ts'

/** Twice what an account has where each character takes twelve bytes, as half of a pair that is escaped. */
const MOST_BYTES = 16 * 1024

export default {
  prefix: '/api/v1/auth',
  tag: { name: 'auth', description: 'Signing up, in and out; sessions, links, codes and keys.' },
  routes: async app => {
    // Nobody has to be known here, and what nobody has to be known for should not take long to read.
    app.addHook('onRoute', route => {
      route.bodyLimit ??= MOST_BYTES
    })
    await app.register(loginRoutes)
    await app.register(linkRoutes)
    await app.register(sessionRoutes)
    await app.register(mfaRoutes)
    await app.register(apiKeyRoutes)
  },
} satisfies Domain
