import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

/** Seals text that is to be stored where others may read, such as the table of jobs. */
export interface Vault {
  seal(text: string): string
  /** Throws when it was changed, or sealed with another secret or for another purpose. */
  open(sealed: string): string
  /** Undefined instead, for what may have been sealed with a key that is gone. */
  openIfPossible(sealed: string): string | undefined
  /** Whether it opens with the first secret; what does not should be sealed again before the others go. */
  isCurrent(sealed: string): boolean
}

const ALGORITHM = 'aes-256-gcm'
const VERSION = 'v1.'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Seals with the first secret and opens with any, so that a secret can be replaced while things lie sealed. */
export function createVault(
  secrets: string | readonly [current: string, ...previous: string[]],
  purpose: string,
): Vault {
  const [current, ...previous] = typeof secrets === 'string' ? [secrets] : secrets
  const currentKey = keyFrom(current, purpose)
  const keys = [currentKey, ...previous.map(secret => keyFrom(secret, purpose))]
  // The version is in it too, so that a later one cannot be passed off as this.
  const context = Buffer.from(VERSION + purpose)

  return {
    seal(text) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(ALGORITHM, currentKey, nonce).setAAD(context)
      const parts = [nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]
      return VERSION + Buffer.concat(parts).toString('base64url')
    },

    open,

    openIfPossible(sealed) {
      try {
        return open(sealed)
      } catch {
        return undefined
      }
    },

    isCurrent(sealed) {
      try {
        return decrypt(decode(sealed), currentKey, context) !== undefined
      } catch {
        return false
      }
    },
  }

  function open(sealed: string): string {
    const bytes = decode(sealed)
    for (const key of keys) {
      const text = decrypt(bytes, key, context)
      if (text !== undefined) return text
    }
    throw new Error('What was sealed is damaged, or was sealed with another key.')
  }
}

const keyFrom = (secret: string, purpose: string) =>
  Buffer.from(hkdfSync('sha256', secret, '', purpose, KEY_BYTES))

function decode(sealed: string): Buffer {
  if (!sealed.startsWith(VERSION)) throw new Error('This was not sealed here.')
  const encoded = sealed.slice(VERSION.length)
  const bytes = Buffer.from(encoded, 'base64url')
  // Node skips what is not base64url, so that many texts would be the same bytes.
  if (bytes.toString('base64url') !== encoded || bytes.length < NONCE_BYTES + TAG_BYTES) {
    throw new Error('What was sealed is damaged.')
  }
  return bytes
}

function decrypt(bytes: Buffer, key: Buffer, context: Buffer): string | undefined {
  const nonce = bytes.subarray(0, NONCE_BYTES)
  const content = bytes.subarray(NONCE_BYTES, -TAG_BYTES)
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(context).setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(content), decipher.final()]).toString('utf8')
  } catch {
    return undefined
  }
}
