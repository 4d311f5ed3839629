import { mkdirSync } from 'node:fs'
import { StartupError } from './exit-codes.ts'

/** Makes the data directory, readable by its owner only, and runs what needs it; a fault is told without a stack. */
export function inDataDirectory<T>(dataDir: string, work: () => T): T {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    return work()
  } catch (error) {
    if (error instanceof StartupError) throw error
    const { code } = error as NodeJS.ErrnoException
    throw new StartupError(
      `The data directory ${dataDir} cannot be used (${code}); set DATA_DIR to one that can.`,
    )
  }
}
