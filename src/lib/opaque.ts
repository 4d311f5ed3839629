import { createHash, randomBytes } from 'node:crypto'

/** A token that says nothing, and that nobody guesses. */
export const newOpaqueToken = (bytes = 32): string => randomBytes(bytes).toString('base64url')

/** How such tokens are stored. Fast, because there is nothing to guess; a password needs more. */
export const sha256 = (secret: string | Uint8Array): Buffer => createHash('sha256').update(secret).digest()
