import type { Domain } from '../domain.ts'
import { meRoutes } from './routes/me.ts'
import { postRoutes } from './routes/posts.ts'
import { userRoutes } from './routes/users.ts'

export default {
  prefix: '/api/v1/users',
  tag: { name: 'users', description: 'Accounts: your own, and for administrators those of others.' },
  routes: async app => {
    await app.register(meRoutes)
    await app.register(userRoutes)
    await app.register(postRoutes)
  },
} satisfies Domain
