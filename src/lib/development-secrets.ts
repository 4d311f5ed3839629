import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface DevelopmentSecrets {
  JWT_SECRET_KEY: string
}

/**
 * Secrets for development, made once and kept in the data directory, readable by their owner only.
 * Several processes may start at once: `link` lets exactly one file win, whole.
 */
export function developmentSecrets(dataDir: string): DevelopmentSecrets {
  const file = join(dataDir, 'secrets.json')
  const existing = read(file)
  if (existing !== undefined) return existing

  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const candidate = join(dataDir, `secrets.${process.pid}.${randomBytes(4).toString('hex')}.tmp`)
  const secrets: DevelopmentSecrets = { JWT_SECRET_KEY: randomBytes(48).toString('base64url') }
  writeFileSync(candidate, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 })
  try {
    linkSync(candidate, file)
    return secrets
  } catch (error) {
    const winner = read(file)
    if (winner === undefined) throw error
    return winner
  } finally {
    rmSync(candidate)
  }
}

function read(file: string): DevelopmentSecrets | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
