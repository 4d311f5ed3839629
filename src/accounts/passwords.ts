import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import type { Config } from '../config.ts'
import { createWorkQueue } from '../lib/work-queue.ts'
import { createCommonPasswords } from './common-passwords.ts'

export interface Passwords {
  hash(password: string): Promise<string>
  /**
   * Finds somebody and checks the password. Without anybody, it takes as long as with one, and is false: whoever asks
   * cannot tell whether there is an account. They are looked up when their turn has come, because the many who are
   * refused in a flood must not stand in line for the database before everybody else's requests.
   */
  verify<Holder extends { password_hash: string }>(
    find: () => Promise<Holder | undefined>,
    password: string,
  ): Promise<{ holder: Holder | undefined; right: boolean }>
  /** Made with other parameters than are configured now. */
  isOutdated(hash: string): boolean
  /** One that everybody uses; always false where PASSWORD_BLOCKLIST is off. */
  isCommon(password: string): Promise<boolean>
}

type PasswordConfig = Pick<
  Config,
  'ARGON2_MEMORY_COST' | 'ARGON2_PARALLELISM' | 'ARGON2_TIME_COST' | 'PASSWORD_BLOCKLIST' | 'WEB_CONCURRENCY'
>

/** Longer than people wait, a login is of no use to them. */
const LONGEST_WAIT_MS = 2000

/** Who hears no at once asks again at once, and a few hundred of those keep the event loop from everybody else. */
const REFUSE_AFTER_MS = [500, 1500] as const

/** What a KiB and pass take on a slow core (0.4 µs on a fast one), until the queue has measured it. */
const GUESS_MS_PER_BLOCK = 0.001

/** Of the four threads that libuv has, one is left to files and host names. */
const MOST_AT_ONCE = 3

const SALT_BYTES = 16
const HASH_BYTES = 32

const COMPLETE = /^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z\d+/]{22}\$[A-Za-z\d+/]{43}$/

export function createPasswords(config: PasswordConfig): Passwords {
  const prefix = `$argon2id$v=19$m=${config.ARGON2_MEMORY_COST},t=${config.ARGON2_TIME_COST},p=${config.ARGON2_PARALLELISM}$`
  // Random bytes cost as much to compare with as a password's hash, and nothing to make: the first login is like any.
  const decoy = `${prefix}${randomText(SALT_BYTES)}$${randomText(HASH_BYTES)}`
  const isListed = createCommonPasswords()
  const queue = createWorkQueue({
    at_once: hashesAtOnce(config),
    longest_wait_ms: LONGEST_WAIT_MS,
    first_guess_ms: config.ARGON2_MEMORY_COST * config.ARGON2_TIME_COST * GUESS_MS_PER_BLOCK,
    refusal: 'More passwords are waiting to be checked than can be in time.',
    refuse_after_ms: REFUSE_AFTER_MS,
  })

  return {
    hash(password) {
      return queue.run(async () => {
        const argon2 = await loadArgon2()
        return argon2.hash(unified(password), {
          type: argon2.argon2id,
          memoryCost: config.ARGON2_MEMORY_COST,
          timeCost: config.ARGON2_TIME_COST,
          parallelism: config.ARGON2_PARALLELISM,
        })
      })
    },

    verify(find, password) {
      return queue.run(async () => {
        const holder = await find()
        const hash = holder?.password_hash ?? ''
        // A damaged hash is no password's; an error would tell that there is an account.
        const usable = COMPLETE.test(hash)
        const argon2 = await loadArgon2()
        const matches = await argon2.verify(usable ? hash : decoy, unified(password))
        return { holder, right: usable && matches }
      })
    },

    isOutdated: hash => !hash.startsWith(prefix),

    isCommon: async password => config.PASSWORD_BLOCKLIST && isListed(password),
  }
}

const randomText = (bytes: number) => randomBytes(bytes).toString('base64').replaceAll('=', '')

/**
 * One core is left to the event loop and to Postgres: with 200 clients that sign in without a pause, on two cores, cheap
 * requests took 14 ms at most in 99 of 100 cases with one at once, and 87 ms with two, for no more logins a second.
 */
function hashesAtOnce({ ARGON2_PARALLELISM, WEB_CONCURRENCY }: PasswordConfig): number {
  const cores = Math.floor(availableParallelism() / WEB_CONCURRENCY) - 1
  return Math.min(Math.max(Math.floor(cores / ARGON2_PARALLELISM), 1), MOST_AT_ONCE)
}

/** At first use, so that no process starts later for it. */
async function loadArgon2() {
  const { default: argon2 } = await import('argon2')
  return argon2
}

/** The same key gives other code points elsewhere: é is one on Windows and two on some Macs. */
const unified = (password: string) => password.normalize('NFKC')
