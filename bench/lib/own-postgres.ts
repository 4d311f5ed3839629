import { execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './http.ts'
import { atExit } from './limits.ts'

/** A Postgres server that belongs to the bench alone, so that it may be taken away. */
export interface OwnPostgres {
  url: string
  /** Without a farewell to anybody, as in a power cut: every connection breaks. */
  crash(): void
  /** Does not wait until the server accepts connections. */
  start(): void
  /** Makes every process of the server stand still; connections stay open and nothing answers. */
  freeze(): void
  thaw(): void
}

const binaries = process.env.BENCH_POSTGRES_BIN ?? '/usr/lib/postgresql/15/bin'
const isRoot = process.getuid?.() === 0

export async function ownPostgres(): Promise<OwnPostgres> {
  if (!existsSync(join(binaries, 'initdb'))) {
    console.error(`Skipped: no Postgres in ${binaries}; BENCH_POSTGRES_BIN names another directory.`)
    process.exit(0)
  }
  const directory = mkdtempSync(join(tmpdir(), 'plinth-bench-postgres-'))
  if (isRoot) giveToPostgres(directory)
  const data = join(directory, 'data')
  run('initdb', ['-D', data, '-U', 'plinth', '-A', 'trust', '--no-sync'])
  const port = await freePort()
  const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=${directory}`
  let frozen: number[] = []

  atExit(() => {
    if (existsSync(join(data, 'postmaster.pid'))) crash()
    rmSync(directory, { recursive: true, force: true })
  })
  return { url: `postgres://plinth@127.0.0.1:${port}/postgres`, crash, start, freeze, thaw }

  function start() {
    const [command, given] = asPostgres('pg_ctl', [
      'start',
      '-W',
      '-D',
      data,
      '-o',
      options,
      '-l',
      join(directory, 'log'),
    ])
    spawn(command, given, { stdio: 'ignore' })
  }

  function crash() {
    thaw()
    run('pg_ctl', ['stop', '-D', data, '-m', 'immediate'])
  }

  function freeze() {
    const postmaster = Number.parseInt(readFileSync(join(data, 'postmaster.pid'), 'utf8'), 10)
    // The parent first, so that it cannot start further children.
    process.kill(postmaster, 'SIGSTOP')
    frozen = [postmaster]
    for (const child of childrenOf(postmaster)) {
      process.kill(child, 'SIGSTOP')
      frozen.push(child)
    }
  }

  function thaw() {
    for (const pid of frozen.splice(0)) process.kill(pid, 'SIGCONT')
  }
}

/** Postgres refuses to run as root. */
function asPostgres(program: string, given: string[]): [string, string[]] {
  const path = join(binaries, program)
  return isRoot ? ['runuser', ['-u', 'postgres', '--', path, ...given]] : [path, given]
}

function run(program: string, given: string[]) {
  const [command, all] = asPostgres(program, given)
  execFileSync(command, all, { cwd: '/', stdio: ['ignore', 'ignore', 'inherit'] })
}

function giveToPostgres(directory: string) {
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  chownSync(directory, idOf('-u'), idOf('-g'))
}

function childrenOf(parent: number): number[] {
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  return pids.map(Number).filter(pid => parentOf(pid) === parent)
}

function parentOf(pid: number): number | undefined {
  try {
    // The name of the program stands in parentheses and may contain anything; the fields after it are plain.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')
    return Number(fields?.[1])
  } catch {
    // It has ended meanwhile.
    return undefined
  }
}
