import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Whether this module is what `node` was told to run; `import.meta.main` exists only from Node 24 on. */
export function isMain(moduleUrl: string): boolean {
  const script = process.argv[1]
  return script !== undefined && realpathSync(script) === fileURLToPath(moduleUrl)
}
