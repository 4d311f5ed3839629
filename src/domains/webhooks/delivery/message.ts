import type { Message } from '../../../lib/outbound.ts'
import { packageVersion } from '../../../lib/package.ts'
import { signatures } from '../secrets.ts'
import type { DueDelivery } from './leases.ts'

export const PING = 'webhook.ping'

/** By Standard Webhooks: the id is the same at each attempt, the time is that of the attempt. */
export function messageOf(delivery: DueDelivery, secrets: readonly string[]): Message | undefined {
  const data = dataOf(delivery)
  if (data === undefined) return undefined
  const { id, type, request_id } = delivery
  const occurred = delivery.event?.created_at ?? delivery.created_at
  const body = Buffer.from(JSON.stringify({ type, timestamp: occurred.toISOString(), data }))
  const timestamp = Math.floor(Date.now() / 1000)
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'user-agent': `Plinth/${packageVersion}`,
      'webhook-id': id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signatures(secrets, { id, timestamp, body }),
      ...(request_id !== null && { 'x-request-id': request_id }),
    },
  }
}

function dataOf({ type, event, webhook_id }: DueDelivery): object | undefined {
  if (type === PING) return { webhook_id }
  return event ?? undefined
}
