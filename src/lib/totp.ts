import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { decodeBase32, encodeBase32 } from './base32.ts'

// RFC 6238 with the parameters that every authenticator app knows; several ignore any other.

const ALGORITHM = 'sha1'
const DIGITS = 6
const STEP_SECONDS = 30
/** As long as the digest, as RFC 4226 advises. */
const SECRET_BYTES = 20
/** Steps that a clock may be off, or a code be old. */
const SKEW = 1

export const newTotpSecret = (): string => encodeBase32(randomBytes(SECRET_BYTES))

interface TotpAccount {
  secret: string
  account: string
  issuer: string
}

/** What an authenticator app reads from the QR code. */
export function totpUri({ secret, account, issuer }: TotpAccount): string {
  const service = labelPart(issuer)
  const parameters = `secret=${secret}&issuer=${service}&algorithm=SHA1&digits=${DIGITS}&period=${STEP_SECONDS}`
  return `otpauth://totp/${service}:${labelPart(account)}?${parameters}`
}

/** Apps split the label at a colon, an encoded one too; URLSearchParams would write a space as a plus, which some show. */
const labelPart = (text: string) => encodeURIComponent(text.replaceAll(':', ' '))

/** The time step that a code belongs to: whoever stores it can take each step only once. */
export function matchTotp(secret: string, code: string, now: Date): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined
  const key = decodeBase32(secret)
  const current = Math.floor(now.getTime() / 1000 / STEP_SECONDS)
  let match: number | undefined
  // All of them, whichever fits, and the last that does: the same code could otherwise be used again for a later step.
  for (let step = current - SKEW; step <= current + SKEW; step++) {
    if (timingSafeEqual(Buffer.from(codeOf(key, step)), Buffer.from(code))) match = step
  }
  return match
}

function codeOf(key: Buffer, step: number): string {
  const counter = Buffer.alloc(8)
  counter.writeBigInt64BE(BigInt(step))
  const digest = createHmac(ALGORITHM, key).update(counter).digest()
  const offset = digest.readUInt8(digest.length - 1) & 0xf
  const number = digest.readUInt32BE(offset) & 0x7fffffff
  return String(number % 10 ** DIGITS).padStart(DIGITS, '0')
}
