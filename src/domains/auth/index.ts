import type { Domain } from '../domain.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { linkRoutes } from './routes/links.ts'
import { loginRoutes } from './routes/login.ts'
import { mfaRoutes } from './routes/mfa.ts'
import { sessionRoutes } from './routes/sessions.ts'

export default {
  prefix: '/api/v1/auth',
  tag: { name: 'auth', description: 'Signing up, in and out; sessions, links, codes and keys.' },
  routes: async app => {
    await app.register(loginRoutes)
    await app.register(linkRoutes)
    await app.register(sessionRoutes)
    await app.register(mfaRoutes)
    await app.register(apiKeyRoutes)
  },
} satisfies Domain
