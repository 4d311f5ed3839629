import type { Domain } from '../domain.ts'
import { bulkRoutes } from './routes/bulk.ts'
import { itemRoutes } from './routes/items.ts'
import { listRoutes } from './routes/lists.ts'
import { stateRoutes } from './routes/states.ts'

export default {
  prefix: '/api/v1/items',
  tag: { name: 'items', description: 'What belongs to a user, who alone sees it, besides administrators.' },
  routes: async app => {
    await app.register(listRoutes)
    await app.register(itemRoutes)
    await app.register(stateRoutes)
    await app.register(bulkRoutes)
  },
} satisfies Domain
