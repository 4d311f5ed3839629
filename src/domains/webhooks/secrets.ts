import { createHmac, randomBytes } from 'node:crypto'
import type { Config } from '../../config.ts'
import { memoized } from '../../lib/memoized.ts'
import { createVault, type Vault } from '../../lib/vault.ts'
import { secretsOf } from '../../lib/vault-keys.ts'

export const SECRETS_PURPOSE = 'webhooks'

/** Secrets have to be read again for each signature, so they are sealed, not hashed. */
export const vaultOf = memoized((config: Config): Vault => createVault(secretsOf(config), SECRETS_PURPOSE))

const PREFIX = 'whsec_'
const BYTES = 32

export const newSecret = (): string => PREFIX + randomBytes(BYTES).toString('base64')

interface Signed {
  id: string
  /** Seconds since 1970. */
  timestamp: number
  body: string | Uint8Array
}

/** By Standard Webhooks, version 1 of its signatures: with each secret, so that a receiver needs to know only one. */
export const signatures = (secrets: readonly string[], { id, timestamp, body }: Signed): string =>
  secrets
    .map(secret => {
      const key = Buffer.from(secret.slice(PREFIX.length), 'base64')
      return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')}`
    })
    .join(' ')
