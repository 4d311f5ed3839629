import { parseArgs } from 'node:util'
import type postgres from 'postgres'
import { serverUrl } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'

const POOL_SIZE = 10
const IN_FLIGHT = 64

/** Until the code is compiled and every connection has prepared the statement. */
const WARM_UP_SECONDS = 2
const RATIO_LIMIT = 1.1

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    // Another postgres.js to compare with, such as one without the patch.
    driver: { type: 'string', default: 'postgres' },
  },
})
const seconds = Number(values.seconds)
endAfter(seconds * 2 + 30)

const { default: open }: { default: typeof postgres } = await import(values.driver)
const pool = open(serverUrl, { max: POOL_SIZE })
let statements = 0
let running = true
const loops = Array.from({ length: IN_FLIGHT }, async () => {
  while (running) {
    await pool`select 1`
    statements++
  }
})

await costFor(WARM_UP_SECONDS)
const quarters: number[] = []
for (let quarter = 0; quarter < 4; quarter++) quarters.push(await costFor(seconds / 4))
running = false
await Promise.all(loops)
await pool.end({ timeout: 2 })

const [first = Number.NaN] = quarters
const ratio = (quarters.at(-1) ?? Number.NaN) / first
console.log(`statements  ${statements}, ${IN_FLIGHT} at once on ${POOL_SIZE} connections`)
console.log(
  `CPU         ${quarters.map(cost => cost.toFixed(1)).join(', ')} µs a statement, by quarters of ${seconds} s`,
)
console.log(`last/first  ${ratio.toFixed(2)}`)
expect(ratio <= RATIO_LIMIT, `a statement costs at most ${RATIO_LIMIT} times as much in the end`)

/** CPU microseconds of this process per statement. */
function costFor(duration: number): Promise<number> {
  const before = statements
  const cpu = process.cpuUsage()
  return new Promise(resolve => {
    setTimeout(() => {
      const { user, system } = process.cpuUsage(cpu)
      resolve((user + system) / (statements - before))
    }, duration * 1000)
  })
}
