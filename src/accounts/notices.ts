import type { Actor } from '../lib/actor.ts'

/** When and from where, as mails tell it. */
export const circumstances = ({ origin: { ip, user_agent } }: Actor) => ({
  at: new Date().toISOString(),
  ip,
  user_agent,
})
