import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { parseConfig } from '../../src/config.ts'
import { connect } from '../../src/db/connect.ts'
import { startRunner } from '../../src/jobs/runner.ts'
import { countUnfinished, enqueueNumbers, numberedJob, prepareJobs } from './bench-jobs.ts'

// A child of job-crash.ts: a worker. With a number as its argument it enqueues so many jobs first.

export type Report = 'ready' | 'ran' | 'done'

const GRACE_MS = 5_000
const LOOK_MS = 100

const config = parseConfig(process.env)
const database = await connect(config)
const job = numberedJob(() => tell('ran'))
await prepareJobs(database, job)

const count = Number(process.argv[2] ?? 0)
if (count > 0) await enqueueNumbers(database.db, job, count)
const logger = pino({ level: 'silent' })
const starting = startRunner({ config, database, logger, jobs: [job] })

let stopping = false
process.once('SIGTERM', async () => {
  stopping = true
  const runner = await starting
  await runner.stop(GRACE_MS)
  await database.close()
  process.exit(0)
})
tell('ready')
await starting

while ((await countUnfinished(database.db, job)) > 0) {
  await sleep(LOOK_MS)
  // The database is being closed, and this process ends by itself.
  if (stopping) await new Promise(() => {})
}
tell('done')

function tell(report: Report) {
  if (process.connected) process.send?.(report)
}
