import type { Domain } from '../domain.ts'
import { event } from './messages.ts'
import { deliveryRoutes } from './routes/deliveries.ts'
import { sendingRoutes } from './routes/sending.ts'
import { stateRoutes } from './routes/states.ts'
import { webhookRoutes } from './routes/webhooks.ts'

export default {
  prefix: '/api/v1/webhooks',
  tag: {
    name: 'webhooks',
    description:
      'Addresses that are told of events, by signed messages as [Standard Webhooks](https://www.standardwebhooks.com) ' +
      'describes them.',
  },
  routes: async app => {
    await app.register(webhookRoutes)
    await app.register(stateRoutes)
    await app.register(sendingRoutes)
    await app.register(deliveryRoutes)
  },
  messages: { event },
} satisfies Domain
