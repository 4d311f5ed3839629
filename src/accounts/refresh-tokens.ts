import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

/** What a refresh token says. */
export interface RefreshToken {
  session_id: string
  /** Random, the same in all tokens of the session; only its hash is stored. */
  secret: Buffer
  /** One more with each refresh. */
  generation: number
}

/**
 * A refresh token is made of what it says and a signature, so that the same one can be made twice: whoever lost the
 * answer to a refresh, or refreshes in two tabs at once, gets the same successor, and none has to be stored. An older
 * one is known for what it is by its generation, and a forged one by its signature, so only the former ends a session.
 * A copy of the database cannot make one, for want of the key and of the secret, of which it has a hash.
 */
export interface RefreshTokens {
  newSecret(): Buffer
  make(token: RefreshToken): string
  /** Undefined when it is not one of ours. */
  read(text: string): RefreshToken | undefined
}

/** By which a refresh token is told from an access token that is sent in its place. */
export const REFRESH_TOKEN_PREFIX = 'plr_'
const ID_BYTES = 16
const GENERATION_BYTES = 4
const SECRET_BYTES = 16
const CONTENT_BYTES = ID_BYTES + GENERATION_BYTES + SECRET_BYTES
const SIGNATURE_BYTES = 32
const LENGTH = REFRESH_TOKEN_PREFIX.length + ((CONTENT_BYTES + SIGNATURE_BYTES) * 4) / 3

/** Signs with the first secret and reads what was signed with any. */
export function createRefreshTokens(secrets: readonly [string, ...string[]]): RefreshTokens {
  const keys = secrets.map(secret => Buffer.from(hkdfSync('sha256', secret, '', 'refresh token', 32)))
  const sign = (key: Buffer | undefined, content: Buffer) =>
    createHmac('sha256', key as Buffer)
      .update(content)
      .digest()

  return {
    newSecret: () => randomBytes(SECRET_BYTES),

    make({ session_id, secret, generation }) {
      const content = Buffer.alloc(CONTENT_BYTES)
      content.write(session_id.replaceAll('-', ''), 'hex')
      content.writeUInt32BE(generation, ID_BYTES)
      secret.copy(content, ID_BYTES + GENERATION_BYTES)
      return REFRESH_TOKEN_PREFIX + Buffer.concat([content, sign(keys[0], content)]).toString('base64url')
    },

    read(text) {
      if (text.length !== Math.ceil(LENGTH) || !text.startsWith(REFRESH_TOKEN_PREFIX)) return undefined
      const bytes = Buffer.from(text.slice(REFRESH_TOKEN_PREFIX.length), 'base64url')
      if (bytes.length !== CONTENT_BYTES + SIGNATURE_BYTES) return undefined
      const content = bytes.subarray(0, CONTENT_BYTES)
      const signature = bytes.subarray(CONTENT_BYTES)
      if (!keys.some(key => timingSafeEqual(sign(key, content), signature))) return undefined
      return {
        session_id: uuidOf(content.toString('hex', 0, ID_BYTES)),
        generation: content.readUInt32BE(ID_BYTES),
        secret: content.subarray(ID_BYTES + GENERATION_BYTES),
      }
    },
  }
}

const uuidOf = (hex: string) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
