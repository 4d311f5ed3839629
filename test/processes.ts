import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { packageRoot } from '../src/lib/package.ts'

export interface Process {
  child: ChildProcess
  /** Everything it has printed so far. */
  output(): string
  /** Resolves with the first line of the log, past or to come, that has this message and these fields. */
  logged(message: string, fields?: Record<string, unknown>): Promise<Record<string, unknown>>
  exit: Promise<{ code: number | null; signal: string | null }>
}

/** What a child needs of our environment; no variable that configures the service may leak in. */
const inherited = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => /^(PATH|HOME|TMPDIR|NODE_|TAP|_TAP)/.test(name) && name !== 'NODE_ENV',
  ),
)

/** Node runs our entries as it runs this file: from TypeScript or from what was made of it, with the same options. */
function nodeArguments(script: string): string[] {
  const made = join('.test', script.replace(/\.ts$/, '.js'))
  return [...process.execArgv, join(packageRoot, import.meta.url.endsWith('.ts') ? script : made)]
}

/** Runs one of our entries, named as in the sources. It is killed when the test ends, if it still runs. */
export function run(
  t: Test,
  script: string,
  variables: Record<string, string>,
  args: string[] = [],
): Process {
  const child = spawn(process.execPath, [...nodeArguments(script), ...args], {
    cwd: packageRoot,
    env: { ...inherited, ...variables },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const lines: string[] = []
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', line => {
      lines.push(line)
      for (const look of waiting) look()
    })
  }
  const exit = once(child, 'close').then(([code, signal]) => ({ code, signal }))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })

  return {
    child,
    exit,
    output: () => lines.join('\n'),
    logged: (message, fields = {}) =>
      new Promise((resolve, reject) => {
        const sought = Object.entries({ ...fields, msg: message })
        const look = () => {
          const found = lines.map(parse).find(line => sought.every(([name, value]) => line?.[name] === value))
          if (found === undefined) return
          waiting.delete(look)
          resolve(found)
        }
        waiting.add(look)
        look()
        exit.then(() => reject(new Error(`It ended before it logged "${message}":\n${lines.join('\n')}`)))
      }),
  }
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** Starts a web process on any free port and waits until it is ready. */
export async function startServer(t: Test, variables: Record<string, string>, script = 'src/server.ts') {
  const server = run(t, script, { PORT: '0', SHUTDOWN_DELAY_SECONDS: '0', ...variables })
  const { port } = await server.logged('ready')
  return { ...server, port: Number(port), url: `http://127.0.0.1:${port}` }
}

export { temporaryDirectory } from './temporary-directory.ts'
