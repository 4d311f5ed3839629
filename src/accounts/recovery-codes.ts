import { randomInt } from 'node:crypto'

const CODES = 10
const LENGTH = 16
/** Crockford's base32, which leaves out what reads like something else: i, l, o and u. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

const NORMAL = new RegExp(`^[${ALPHABET}]{${LENGTH}}$`)

/** Of 80 bits each: no number of guesses finds one, even if their hashes are stolen. */
export const newRecoveryCodes = (): string[] => Array.from({ length: CODES }, newCode)

const newCode = () => grouped(Array.from({ length: LENGTH }, randomSymbol).join(''))

const randomSymbol = () => ALPHABET.charAt(randomInt(ALPHABET.length))

/** The code as it was given out, from what somebody has typed off paper; undefined when it cannot be one. */
export function normaliseRecoveryCode(text: string): string | undefined {
  const symbols = text
    .toLowerCase()
    .replace(/[\s\p{Pd}]/gu, '')
    .replace(/[il]/g, '1')
    .replaceAll('o', '0')
  return NORMAL.test(symbols) ? grouped(symbols) : undefined
}

const grouped = (symbols: string) => symbols.replace(/.{4}(?=.)/g, '$&-')
