import type { Config } from '../config.ts'
import type { Database } from '../db/types.ts'
import { createVault, type Vault } from '../lib/vault.ts'
import { secretsOf } from '../lib/vault-keys.ts'
import type { Mailer } from '../mail/mailer.ts'
import { createPasswords, type Passwords } from './passwords.ts'
import { createPrincipals, type Principals } from './principals.ts'
import { createRefreshTokens, type RefreshTokens } from './refresh-tokens.ts'

/** What everything about accounts works with. */
export interface Accounts {
  config: Config
  database: Database
  mailer: Mailer
  passwords: Passwords
  principals: Principals
  refreshTokens: RefreshTokens
  /** For TOTP secrets, which have to be read again. */
  vault: Vault
}

export function createAccounts(config: Config, database: Database, mailer: Mailer): Accounts {
  return {
    config,
    database,
    mailer,
    passwords: createPasswords(config),
    principals: createPrincipals(database),
    refreshTokens: createRefreshTokens(secretsOf(config)),
    vault: createVault(secretsOf(config), 'accounts'),
  }
}
