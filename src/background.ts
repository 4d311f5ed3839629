import { expireAccounts, purgeUsers, sendResetLink } from './accounts/jobs.ts'
import { resealSecrets } from './accounts/reseal.ts'
import { expireEvents, makePartitions, sealEvents } from './domains/audit/jobs.ts'
import { purgeItems } from './domains/items/jobs.ts'
import { purgePosts } from './domains/posts/jobs.ts'
import { expireIdempotencyKeys } from './idempotency/jobs.ts'
import type { Job } from './jobs/job.ts'
import { sendMail } from './mail/send.ts'

/** Every job. `plinth migrate` makes their queues, and workers run them. */
export const jobs: readonly Job[] = [
  expireAccounts,
  expireEvents,
  expireIdempotencyKeys,
  makePartitions,
  purgeItems,
  purgePosts,
  purgeUsers,
  resealSecrets,
  sealEvents,
  sendMail,
  sendResetLink,
]
