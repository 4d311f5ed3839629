import type { Logger } from 'pino'
import { expireAccounts, purgeUsers, sendResetLink } from './accounts/jobs.ts'
import { resealSecrets } from './accounts/reseal.ts'
import type { Config } from './config.ts'
import type { Database } from './db/types.ts'
import { expireEvents, makePartitions, sealEvents } from './domains/audit/jobs.ts'
import { purgeItems } from './domains/items/jobs.ts'
import { purgePosts } from './domains/posts/jobs.ts'
import { expireDeliveries, resealWebhookSecrets } from './domains/webhooks/jobs.ts'
import { expireIdempotencyKeys } from './idempotency/jobs.ts'
import type { Job } from './jobs/job.ts'
import { sendMail } from './mail/send.ts'

/** Every job. `plinth migrate` makes their queues, and workers run them. */
export const jobs: readonly Job[] = [
  expireAccounts,
  expireDeliveries,
  expireEvents,
  expireIdempotencyKeys,
  makePartitions,
  purgeItems,
  purgePosts,
  purgeUsers,
  resealSecrets,
  resealWebhookSecrets,
  sealEvents,
  sendMail,
  sendResetLink,
]

/** What runs as long as the process does. */
export interface Running {
  /** Begins nothing new, and gives what it does this long to end. */
  stop(graceMs: number): Promise<void>
}

type Start = (surroundings: { config: Config; database: Database; logger: Logger }) => Running

/** What workers do besides jobs. */
export const services: readonly (() => Promise<Start>)[] = [
  async () => (await import('./domains/webhooks/delivery/deliverer.ts')).startDeliverer,
]
