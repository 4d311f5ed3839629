import { parseArgs } from 'node:util'
import { withDatabase } from './lib/database.ts'
import { ask, freePort } from './lib/http.ts'
import { endAfter, expect } from './lib/limits.ts'
import { builtScript, startService, temporaryDirectory } from './lib/service.ts'
import { median, ms } from './lib/stats.ts'
import { until } from './lib/wait.ts'

const COLD_LIMIT_MS = 5_000
const WARM_LIMIT_MS = 2_500

const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' } } })
const runs = Number(values.runs)
const script = builtScript('cluster.js')
endAfter(60 + runs * 20)

const cold: number[] = []
const warm: number[] = []
for (let run = 0; run < runs; run++) {
  const environment = { DATA_DIR: temporaryDirectory() }
  cold.push(await timeToReady(environment))
  warm.push(await timeToReady(environment))
}
report('embedded, first start', cold)
report('embedded, later start', warm)

const empty: number[] = []
const migrated: number[] = []
for (let run = 0; run < runs; run++) {
  await withDatabase(async url => {
    const environment = { DATABASE_URL: url, DATA_DIR: temporaryDirectory() }
    empty.push(await timeToReady(environment))
    migrated.push(await timeToReady(environment))
  })
}
report('Postgres, empty database', empty)
report('Postgres, migrated database', migrated)

expect(Math.max(...cold) <= COLD_LIMIT_MS, `first starts take at most ${ms(COLD_LIMIT_MS)}`)
expect(Math.max(...warm) <= WARM_LIMIT_MS, `later starts take at most ${ms(WARM_LIMIT_MS)}`)

/** From the birth of the process to the first 200 of readiness. */
async function timeToReady(environment: Record<string, string>): Promise<number> {
  const port = await freePort()
  const start = performance.now()
  const service = startService(script, { ...environment, PORT: String(port), SHUTDOWN_DELAY_SECONDS: '0' })
  const readyAt = await until('readiness', async () => {
    const { result, endedAt } = await ask({ port, path: '/health/ready' })
    return result === '200' ? endedAt : undefined
  })
  await service.stop()
  return readyAt - start
}

function report(what: string, times: number[]) {
  const [least, most] = [Math.min(...times), Math.max(...times)]
  console.log(
    `${what.padEnd(28)} median ${ms(median(times))}, ${ms(least)} to ${ms(most)}, ${times.length} runs`,
  )
}
