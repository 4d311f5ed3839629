import type { Config } from '../config.ts'

/** Longer than any answer of a healthy server, shorter than the lease of the job that waits for it. */
const TIMEOUT_MS = 15_000

/** How to reach the server that MAIL_* names, for nodemailer; undefined when none is named. */
export function smtpOptions(config: Config, timeoutMs = TIMEOUT_MS) {
  if (config.MAIL_SERVER === undefined) return undefined
  return {
    host: config.MAIL_SERVER,
    port: config.MAIL_PORT,
    secure: config.MAIL_USE_TLS && config.MAIL_PORT === 465,
    requireTLS: config.MAIL_USE_TLS,
    ...(config.MAIL_USERNAME !== undefined && {
      auth: { user: config.MAIL_USERNAME, pass: config.MAIL_PASSWORD ?? '' },
    }),
    dnsTimeout: timeoutMs,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
  }
}
