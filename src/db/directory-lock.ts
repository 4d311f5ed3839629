import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { tryLock } from 'fs-native-extensions'
import { EXIT_TEMPORARY, StartupError } from '../lib/exit-codes.ts'

/**
 * Takes the data directory for this process. The operating system holds the lock and drops it when the process dies,
 * however it dies, so a crash leaves nothing stale behind and a reused pid cannot fool anybody.
 * The pid in the file is only for the message.
 */
export function lockDirectory(dataDir: string): () => void {
  const path = join(dataDir, 'lock')
  const file = openSync(path, 'a+', 0o600)
  if (!tryLock(file)) {
    closeSync(file)
    const owner = readFileSync(path, 'utf8').trim()
    throw new StartupError(
      `The embedded database in ${dataDir} is in use by another process${owner && ` (pid ${owner})`}; stop that one first, or set DATABASE_URL to share a Postgres server.`,
      EXIT_TEMPORARY,
    )
  }
  ftruncateSync(file)
  writeSync(file, `${process.pid}\n`)
  return () => closeSync(file)
}
