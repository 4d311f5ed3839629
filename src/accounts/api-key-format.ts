import { randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** By which scanners for leaked secrets, and people, know a key of ours. */
export const API_KEY_PREFIX = 'plk_'
const RANDOM_LENGTH = 34
/** The least that holds 32 bits. */
const CHECKSUM_LENGTH = 6
const SHOWN_LENGTH = 12
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

const SHAPE = new RegExp(`^${API_KEY_PREFIX}[${ALPHABET}]{${RANDOM_LENGTH + CHECKSUM_LENGTH}}$`)

export function newApiKey(): string {
  const random = Array.from({ length: RANDOM_LENGTH }, randomSymbol).join('')
  return API_KEY_PREFIX + random + checksum(random)
}

/** `randomInt` draws again rather than favour the first symbols. */
const randomSymbol = () => ALPHABET.charAt(randomInt(ALPHABET.length))

/** Whether a text may be a key at all: a slip or a guess need not be looked up. */
export function isApiKey(text: string): boolean {
  if (!SHAPE.test(text)) return false
  const checksumAt = API_KEY_PREFIX.length + RANDOM_LENGTH
  return checksum(text.slice(API_KEY_PREFIX.length, checksumAt)) === text.slice(checksumAt)
}

function checksum(random: string): string {
  let text = ''
  let rest = crc32(random)
  while (text.length < CHECKSUM_LENGTH) {
    text = ALPHABET.charAt(rest % ALPHABET.length) + text
    rest = Math.floor(rest / ALPHABET.length)
  }
  return text
}

/** By which people tell their keys apart; too little of the secret to help anybody guess the rest. */
export const shownPart = (key: string): string => key.slice(0, SHOWN_LENGTH)
