import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ref } from '../../../lib/schema.ts'
import { reachOf, WRITE } from '../access.ts'
import { OVERLAP_HOURS } from '../limits.ts'
import { IssuedWebhook, Webhook, WebhookParameters } from '../schemas.ts'
import { vaultOf } from '../secrets.ts'
import { rotateSecret, updateWebhook } from '../service.ts'
import { health } from './health.ts'

const tags = ['webhooks']

const moves = [
  {
    verb: 'enable',
    operationId: 'enableWebhook',
    summary: 'Enable a webhook',
    description:
      'What waited when it was disabled is sent. What happened meanwhile is not; `replay` sends it. Of one that is ' +
      'enabled already, nothing changes.',
    enabled: true,
  },
  {
    verb: 'disable',
    operationId: 'disableWebhook',
    summary: 'Disable a webhook',
    description:
      'Nothing is sent until it is enabled again. Of one that is disabled already, nothing changes.',
    enabled: false,
  },
] as const

/** Whether anything is sent, and what it is signed with. */
export const stateRoutes: FastifyPluginAsyncTypebox = async app => {
  const { outbound } = app
  const vault = vaultOf(app.accounts.config)

  for (const { verb, operationId, summary, description, enabled } of moves) {
    app.post(
      `/:id/${verb}`,
      {
        config: { access: WRITE, idempotency: true, versioned: true, embedded: health },
        schema: {
          operationId,
          summary,
          description,
          tags,
          params: WebhookParameters,
          response: { 200: ref(Webhook) },
        },
      },
      ({ db, actor, user, params, precondition }) =>
        updateWebhook(db, outbound, actor, { ...params, reach: reachOf(user), precondition }, { enabled }),
    )
  }

  app.post(
    '/:id/rotate-secret',
    {
      config: { access: WRITE, secret: true, idempotency: true, versioned: true, embedded: health },
      schema: {
        operationId: 'rotateWebhookSecret',
        summary: 'Replace the secret of a webhook by a new one',
        description:
          `The answer is the only one that holds it. For ${OVERLAP_HOURS} hours messages are signed with the old one, ` +
          'too; rotating again meanwhile ends the oldest.',
        tags,
        params: WebhookParameters,
        response: { 200: ref(IssuedWebhook) },
      },
    },
    ({ db, actor, user, params, precondition }) =>
      rotateSecret(db, vault, actor, { ...params, reach: reachOf(user), precondition }),
  )
}
