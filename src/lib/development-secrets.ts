import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { inDataDirectory } from './data-directory.ts'
import { StartupError } from './exit-codes.ts'

interface DevelopmentSecrets {
  JWT_SECRET_KEY: string
}

/** Secrets for development, made once and kept in the data directory, readable by their owner only. */
export function developmentSecrets(dataDir: string): DevelopmentSecrets {
  return inDataDirectory(dataDir, () => {
    const file = join(dataDir, 'secrets.json')
    return read(file) ?? make(dataDir, file)
  })
}

/** Several processes may start at once: `link` lets exactly one file win, whole. */
function make(dataDir: string, file: string): DevelopmentSecrets {
  const candidate = join(dataDir, `secrets.${process.pid}.${randomBytes(4).toString('hex')}.tmp`)
  const secrets: DevelopmentSecrets = { JWT_SECRET_KEY: randomBytes(48).toString('base64url') }
  const descriptor = openSync(candidate, 'wx', 0o600)
  try {
    writeSync(descriptor, `${JSON.stringify(secrets, null, 2)}\n`)
    // Otherwise a power failure may leave the name without the content.
    fsyncSync(descriptor)
    linkSync(candidate, file)
    return secrets
  } catch (error) {
    const winner = read(file)
    if (winner === undefined) throw error
    return winner
  } finally {
    closeSync(descriptor)
    rmSync(candidate)
  }
}

function read(file: string): DevelopmentSecrets | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const secret = /"JWT_SECRET_KEY": "([\w-]{32,})"\s*\}/.exec(text)?.[1]
  // Not parsed as JSON, whose errors quote the text.
  if (secret === undefined) throw new StartupError(`${file} is damaged; delete it, and new secrets are made.`)
  return { JWT_SECRET_KEY: secret }
}
