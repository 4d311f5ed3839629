import { PermanentFailure } from '../jobs/job.ts'
import { oneLine } from './render.ts'

/** What nodemailer adds to an error; `response` is the server's reply. */
interface SmtpFacts {
  code?: string
  syscall?: string
  command?: string
  response?: string
  responseCode?: number
}

const MAX_REPLY_LENGTH = 300

/** Replies to any command that ask for a login or for TLS: our mistake, which can still be mended. */
const AUTHENTICATION_CODES = [530, 534, 535, 538]

/**
 * What a job should throw for a mail that could not be sent. Always a new error: that of nodemailer repeats the
 * reply, in which servers quote the address or the line that they dislike, and it would be logged and stored.
 */
export function sendingFailure(error: unknown, to: string, data: unknown): Error {
  const { code, syscall, command, response, responseCode = 0, message } = error as Error & SmtpFacts
  const secrets = [to, to.slice(0, to.lastIndexOf('@')), ...stringsIn(data)]
  // With the system's call, by which whoever stores the error knows that the message may name a file.
  if (response === undefined) {
    return Object.assign(new Error(withoutSecrets(message, secrets)), { code, syscall })
  }
  const told = `The mail server refused it at ${command}: ${withoutSecrets(response, secrets)}`
  // A 5xx to the greeting or to EHLO is about us or the server, not about this mail.
  const aboutThisMail = code === 'EENVELOPE' || code === 'EMESSAGE'
  const permanent = responseCode >= 500 && !AUTHENTICATION_CODES.includes(responseCode)
  return aboutThisMail && permanent ? new PermanentFailure(told) : Object.assign(new Error(told), { code })
}

function stringsIn(data: unknown): string[] {
  if (typeof data === 'string') return [data]
  return typeof data === 'object' && data !== null ? Object.values(data).flatMap(stringsIn) : []
}

/** Longest first, or the rest of a secret would stay behind a shorter one that it begins with. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  const patterns = secrets
    .map(oneLine)
    .filter(secret => secret !== '')
    .sort((a, b) => b.length - a.length)
    .map(secret => new RegExp(`(?<![\\p{L}\\p{N}])${escapePattern(secret)}(?![\\p{L}\\p{N}])`, 'giu'))
  return patterns
    .reduce((rest, pattern) => rest.replace(pattern, '…'), oneLine(text))
    .replace(/[^\s<>"'()]*@[^\s<>"'()]*/g, '…')
    .replace(/https?:\S+/gi, '…')
    .slice(0, MAX_REPLY_LENGTH)
}

const escapePattern = (text: string) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
