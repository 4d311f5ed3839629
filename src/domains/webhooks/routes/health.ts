import type { Webhook } from '../schemas.ts'

/** What an answer shows besides what its version covers: it changes with attempts, not by anybody's hand. */
export const health = ({ failing_since, previous_secret_expires_at }: Webhook): string =>
  `${failing_since?.toISOString()} ${previous_secret_expires_at?.toISOString()}`
