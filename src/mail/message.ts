import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Rendered } from './render.ts'

export interface Message extends Rendered {
  /** A UUIDv7; a mail that is sent again keeps it. */
  id: string
  to: string
  headers: Record<string, string>
}

export interface Transport {
  send(message: Message, logger: Logger): Promise<void>
}

/** A message as nodemailer takes it. */
export function envelopeOf({ MAIL_FROM }: Config, { id, to, ...message }: Message) {
  return {
    ...message,
    from: MAIL_FROM,
    // As text it would be parsed, and a comma would make two recipients of it.
    to: { name: '', address: to },
    messageId: `<${id}@${domainOf(MAIL_FROM)}>`,
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

const domainOf = (sender: string) => /@([\w.-]+)>?\s*$/.exec(sender)?.[1] ?? 'localhost'
