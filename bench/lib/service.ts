import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { atExit } from './limits.ts'

/** A line of the service's log; only the fields that benches look at. */
export interface LogLine {
  pid: number
  msg: string
  request_id?: string
  status?: number
}

export interface Service {
  child: ChildProcess
  pid: number
  /** The log so far, without the lines of ordinary requests. */
  log: LogLine[]
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>
}

/** Requests with an id that starts so are kept from the log; parsing all of them would disturb what is measured. */
export const WATCHED_REQUEST = 'bench-watched-'

const root = fileURLToPath(new URL('../../', import.meta.url))

export function builtScript(name: string): string {
  const path = join(root, 'dist', name)
  if (existsSync(path)) return path
  console.error(`${path} is missing: run \`npm run build\` first.`)
  process.exit(1)
}

export const benchScript = (name: string): string => join(root, 'bench', 'lib', name)

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'plinth-bench-'))
  atExit(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Starts a script with nothing of our own environment, in an empty directory, so no `.env` is read by accident. */
export function startService(script: string, environment: Record<string, string>): Service {
  const { PATH = '' } = process.env
  const loader = script.endsWith('.ts') ? ['--import', import.meta.resolve('tsx')] : []
  const child = spawn(process.execPath, [...loader, script], {
    cwd: temporaryDirectory(),
    env: { PATH, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (child.pid === undefined) throw new Error(`Could not start ${script}`)
  atExit(() => child.kill('SIGKILL'))

  const log: LogLine[] = []
  createInterface({ input: child.stdout }).on('line', line => {
    if (line.includes('"msg":"request"') && !line.includes(WATCHED_REQUEST)) return
    if (line.includes('"level":60')) console.error(line)
    if (line.startsWith('{')) log.push(JSON.parse(line))
  })

  return {
    child,
    pid: child.pid,
    log,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const exit = once(child, 'exit')
      child.kill('SIGTERM')
      const [code] = await exit
      return code
    },
  }
}
