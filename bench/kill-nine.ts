import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Report } from './lib/insert-rows.ts'
import { atExit, endAfter, expect } from './lib/limits.ts'
import { benchScript, temporaryDirectory } from './lib/service.ts'

/** From the first row on, or, to meet it while it opens the directory, from the beginning of that. */
const LONGEST_LIFE_MS = 800

/** A first start copies, opens and migrates for a second or so; the kills are spread over it and a little beyond. */
const LONGEST_FIRST_LIFE_MS = 1_500

/** Every so many runs the child is killed while it opens what the last one left behind. */
const OPENING_EVERY = 4

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '20' }, 'first-starts': { type: 'string', default: '10' } },
})
endAfter(600)

await killRepeatedly(Number(values.runs))
await killFirstStarts(Number(values['first-starts']))

async function killRepeatedly(runs: number) {
  const dataDir = temporaryDirectory()
  const acknowledged = new Set<number>()
  let killedOpening = 0
  for (let run = 0; run < runs; run++) {
    const phase = run % OPENING_EVERY === 1 ? 'opening' : 'acknowledged'
    const ids = await insertUntilKilled(dataDir, phase, Math.random() * LONGEST_LIFE_MS)
    if (ids.length === 0) killedOpening++
    for (const id of ids) acknowledged.add(id)
  }
  const found = new Set(await findRows(dataDir))
  const missing = [...acknowledged].filter(id => !found.has(id))
  const unasked = [...found].filter(id => !acknowledged.has(id))

  console.log(`kill -9, ${runs} times on one directory; ${killedOpening} of them before the first row`)
  console.log(`acknowledged ${acknowledged.size}, found ${found.size}, missing ${missing.length}`)
  console.log(`${unasked.length} rows were committed but killed before their acknowledgement left`)
  expect(missing.length === 0, 'every acknowledged row is there')
  expect(unasked.length <= runs, 'at most one row a run is there without having been acknowledged')
}

async function killFirstStarts(runs: number) {
  let usable = 0
  let killedOpening = 0
  for (let run = 0; run < runs; run++) {
    const dataDir = temporaryDirectory()
    const ids = await insertUntilKilled(dataDir, 'opening', (LONGEST_FIRST_LIFE_MS * run) / runs)
    if (ids.length === 0) killedOpening++
    const found = new Set(await findRows(dataDir))
    if (ids.every(id => found.has(id))) usable++
  }
  console.log(`\nkill -9 in the very first start, ${runs} directories; ${killedOpening} before the first row`)
  expect(usable === runs, 'every directory opens again, with every acknowledged row')
}

/** The ids that the child acknowledged before it was killed, so long after it first reported `phase`. */
async function insertUntilKilled(dataDir: string, phase: Report['kind'], afterMs: number): Promise<number[]> {
  const child = start(dataDir, 'insert')
  const ids: number[] = []
  const reached = new Promise<void>(resolve => {
    child.on('message', (report: Report) => {
      if (report.kind === 'acknowledged') ids.push(report.id)
      if (report.kind === phase) resolve()
    })
  })
  const ended = once(child, 'close')
  await Promise.race([reached, ended])
  await sleep(afterMs)
  child.kill('SIGKILL')
  const [, signal] = await ended
  if (signal !== 'SIGKILL') throw new Error('The child died by itself.')
  return ids
}

async function findRows(dataDir: string): Promise<number[]> {
  const child = start(dataDir, 'find')
  let ids: number[] | undefined
  child.on('message', (report: Report) => {
    if (report.kind === 'found') ids = report.ids
  })
  await once(child, 'close')
  if (ids === undefined) throw new Error(`${dataDir} does not open again.`)
  return ids
}

function start(dataDir: string, task: 'insert' | 'find'): ChildProcess {
  const { PATH } = process.env
  const child = fork(benchScript('insert-rows.ts'), [task], {
    cwd: dataDir,
    env: { PATH, DATA_DIR: dataDir },
    execArgv: ['--import', import.meta.resolve('tsx')],
  })
  atExit(() => child.kill('SIGKILL'))
  return child
}
