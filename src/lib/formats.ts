import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import { readRates } from './rates.ts'

/** A form that a variable must have, and how to say so to the operator. */
interface Format {
  check: (value: string) => boolean
  expects: string
}

export const formats = {
  'node-env': oneOf('development', 'test', 'production'),
  'log-level': oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
  'postgres-url': {
    check: isUrl('postgres:', 'postgresql:'),
    expects: 'a URL like postgres://user:password@host:5432/database',
  },
  'redis-url': { check: isUrl('redis:', 'rediss:'), expects: 'a URL like redis://host:6379' },
  'web-url': { check: isUrl('http:', 'https:'), expects: 'a URL like https://app.example.com' },
  'ed25519-private-key': {
    check: value => isEd25519(() => createPrivateKey(readPem(value))),
    expects: 'an Ed25519 private key in PEM; `openssl genpkey -algorithm ed25519` makes one',
  },
  'ed25519-public-key': {
    check: value => isEd25519(() => createPublicKey(readPem(value))),
    expects: 'an Ed25519 public key in PEM; `openssl pkey -pubout` prints that of a private key',
  },
  origins: {
    check: value => value === '*' || splitList(value).every(isOrigin),
    expects: 'a comma-separated list of origins like https://app.example.com, or *',
  },
  'rate-limits': {
    check: value => readRates(value) !== undefined,
    expects: 'limits like 100/hour; 10/second, one for each unit of time',
  },
  proxies: {
    check: value => isHopCount(value) || splitList(value).every(isProxy),
    expects: 'a comma-separated list of addresses, CIDR ranges or loopback, or a number of hops',
  },
} satisfies Record<string, Format>

export const splitList = (value: string) => value.split(',').map(entry => entry.trim())
/** Line breaks written as `\\n`: most places for variables hold a single line. */
export const readPem = (value: string) => value.replaceAll('\\n', '\n')
export const isHopCount = (value: string) => /^\d{1,2}$/.test(value)

function oneOf(...words: string[]): Format {
  return { check: (value: string) => words.includes(value), expects: `one of ${words.join(', ')}` }
}

function isUrl(...protocols: string[]) {
  return (value: string) => {
    // Postgres takes several hosts, `URL` only one.
    const single = value.replace(/,[^@/]*(?=\/|$)/, '')
    if (!URL.canParse(single)) return false
    const { protocol, username, password, pathname } = new URL(single)
    return protocols.includes(protocol) && [username, password, pathname].every(isDecodable)
  }
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

function isEd25519(read: () => KeyObject): boolean {
  try {
    return read().asymmetricKeyType === 'ed25519'
  } catch {
    return false
  }
}

const isOrigin = (value: string) => URL.canParse(value) && new URL(value).origin === value

function isProxy(value: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(value)) return true
  const [address = '', prefix = '0'] = value.split('/')
  const version = isIP(address)
  return version !== 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128)
}
