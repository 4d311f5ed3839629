import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../src/lib/package.ts'

const lock = join(packageRoot, 'node_modules', '.cache', 'plinth', 'building')

/** Longer than building takes; then whoever holds the lock has died. */
const STALE_LOCK_MS = 60_000

let checked = false

/**
 * How Node is told to run one of our entries. What is named as in the sources runs as `npm run build` made it: that
 * starts in a third of the time, and the suite starts a hundred processes. Where that is older than the sources, it is
 * made again, by one test file while the others wait.
 */
export function nodeArguments(script: string): string[] {
  if (!script.startsWith('src/')) return ['--import=tsx', join(packageRoot, script)]
  if (!checked && isOutdated()) build()
  checked = true
  // As in .taprc: for so short a life, compiling the embedded Postgres well is not worth while.
  const path = script.replace(/^src\//, 'dist/').replace(/\.ts$/, '.js')
  return ['--liftoff-only', join(packageRoot, path)]
}

function isOutdated(): boolean {
  const built = statSync(join(packageRoot, 'dist', 'server.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0
  const sources = readdirSync(join(packageRoot, 'src'), { recursive: true, encoding: 'utf8' })
  return sources.some(name => statSync(join(packageRoot, 'src', name)).mtimeMs > built)
}

function build() {
  mkdirSync(join(lock, '..'), { recursive: true })
  while (!takeLock()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  try {
    const tsc = join(packageRoot, 'node_modules', 'typescript', 'bin', 'tsc')
    // Whether the types are right, `npm run types` tells.
    if (isOutdated()) execFileSync(process.execPath, [tsc, '--noCheck'], { cwd: packageRoot })
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function takeLock(): boolean {
  try {
    mkdirSync(lock)
    return true
  } catch {
    const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs
    if (since !== undefined && Date.now() - since > STALE_LOCK_MS)
      rmSync(lock, { recursive: true, force: true })
    return false
  }
}
