import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Config } from '../config.ts'
import { memoized } from '../lib/memoized.ts'
import { createVault, type Vault } from '../lib/vault.ts'
import { secretsOf } from '../lib/vault-keys.ts'

/** A mail as it waits in its job. */
const Letter = Type.Object({
  id: Type.String(),
  to: Type.String(),
  template: Type.String(),
  data: Type.Unknown(),
})
export type Letter = Static<typeof Letter>

// Neither addresses nor links that are good once should lie in the table of jobs for its readers to find.

export const sealLetter = (config: Config, letter: Letter): string =>
  vaultOf(config).seal(JSON.stringify(letter))

/** Throws without any of the content. */
export function openLetter(config: Config, sealed: string): Letter {
  const letter = parse(vaultOf(config).open(sealed))
  if (!Value.Check(Letter, letter)) throw new Error('What was sealed is not a mail.')
  return letter
}

/** The error of JSON.parse quotes the text. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const vaultOf = memoized((config: Config): Vault => createVault(secretsOf(config), 'mail'))
