import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { JWT_SECRET_KEY } from './accounts.ts'
import { hammer } from './hammer.ts'
import { atExit } from './limits.ts'
import type { Profile } from './profile.ts'
import { benchScript, temporaryDirectory } from './service.ts'
import { median } from './stats.ts'
import { cpuMicrosOf } from './usage.ts'

/** What the server that is measured is made of: see overhead-server.ts. */
export interface Variant {
  title: string
  /** `plinth`, or `bare` and what is added to it: `bare+cors`. */
  kind: string
  environment?: Record<string, string>
  /** Where it is asked something else than the others. */
  path?: string
  token?: string | undefined
}

interface Comparison {
  url: string
  rounds: number
  path: string
  token?: string | undefined
  requests?: number
  connections?: number
}

export interface Measured {
  title: string
  /** Of all rounds: CPU of the server for a request, that by what the first variant took in the same round, and requests a second. */
  micros: number[]
  ratios: number[]
  rates: number[]
}

const REQUESTS = 3_000
const CONNECTIONS = 8

/** The first requests are slow because they compile the code. */
const WARM_UP_ROUNDS = 3

/** The server has a core of its own, and so has whoever asks; at least nothing moves from one to the other. */
const SERVER_CORE = '0'
const CLIENT_CORE = '1'

const canPin = pin(process.pid)

/** All variants run; they are asked in turn, in one direction and then in the other. */
export async function compareServers(
  variants: readonly Variant[],
  comparison: Comparison,
): Promise<Measured[]> {
  const { rounds, requests = REQUESTS, connections = CONNECTIONS, path, token } = comparison
  const servers: { variant: Variant; server: MeasuredServer; measured: Measured }[] = []
  for (const variant of variants) {
    const measured = { title: variant.title, micros: [], ratios: [], rates: [] }
    servers.push({ variant, server: await startMeasured(variant, comparison.url), measured })
  }
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const { variant, server, measured } of round % 2 === 0 ? servers : servers.toReversed()) {
      const before = cpuMicrosOf(server.pid)
      const seconds = await hammer({
        port: server.port,
        path,
        token,
        ...variant,
        requests,
        connections,
        each,
      })
      if (round < 0) continue
      measured.micros.push((cpuMicrosOf(server.pid) - before) / requests)
      measured.rates.push(requests / seconds)
    }
  }
  for (const { server } of servers) await server.stop()
  const all = servers.map(({ measured }) => measured)
  const first = all[0] as Measured
  for (const one of all) one.ratios = one.micros.map((micros, round) => micros / (first.micros[round] ?? NaN))
  printComparison(all, rounds, requests)
  return all

  function each({ result, body }: { result: string; body: string }) {
    if (result !== '200') throw new Error(`${path} was answered with ${result}: ${body}`)
  }
}

function printComparison(all: Measured[], rounds: number, requests: number) {
  console.log(`median of ${rounds} rounds of ${requests} requests, least to most`)
  const first = all[0] as Measured
  for (const { title, micros, ratios, rates } of all) {
    const more = median(micros.map((value, round) => value - (first.micros[round] ?? NaN)))
    console.log(
      `${title.padEnd(32)} ${median(micros).toFixed(1).padStart(6)} µs ${spread(micros, 1).padEnd(16)} ` +
        `${more.toFixed(1).padStart(6)} more  ${median(ratios).toFixed(2).padStart(5)} ${spread(ratios, 2).padEnd(15)} ` +
        `${median(rates).toFixed(0).padStart(6)} requests/s`,
    )
  }
}

const spread = (values: number[], digits: number) =>
  `(${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`

interface MeasuredServer {
  pid: number
  port: number
  /** Where its time goes while `work` runs. */
  profile(work: () => Promise<unknown>): Promise<Profile>
  stop(): Promise<void>
}

/** In a process of its own, which logs to /dev/null. */
export async function startMeasured(
  { kind, environment = {} }: Pick<Variant, 'kind' | 'environment'>,
  url: string,
): Promise<MeasuredServer> {
  const { PATH = '' } = process.env
  const node = [process.execPath, '--import', import.meta.resolve('tsx'), benchScript(SCRIPT), kind]
  const [command = '', ...given] = canPin ? ['taskset', '-c', SERVER_CORE, ...node] : node
  const child = spawn(command, given, {
    cwd: temporaryDirectory(),
    env: { PATH, DATABASE_URL: url, JWT_SECRET_KEY, PASSWORD_BLOCKLIST: 'false', ...environment },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  atExit(() => child.kill('SIGKILL'))
  const port = (await reported(child)) as number
  return {
    pid: child.pid ?? 0,
    port,
    async profile(work) {
      child.send('start')
      await reported(child)
      await work()
      child.send('stop')
      return (await reported(child)) as Profile
    },
    async stop() {
      const exit = once(child, 'exit')
      child.kill('SIGTERM')
      await exit
    },
  }
}

const SCRIPT = 'overhead-server.ts'

async function reported(child: ChildProcess): Promise<unknown> {
  const died = once(child, 'exit').then(([code]) => {
    throw new Error(`A server ended with ${code}.`)
  })
  died.catch(() => {})
  const [content] = await Promise.race([once(child, 'message'), died])
  return content
}

function pin(pid: number): boolean {
  try {
    execFileSync('taskset', ['-a', '-p', '-c', CLIENT_CORE, String(pid)], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
