import { parseArgs } from 'node:util'
import { Value } from '@sinclair/typebox/value'
import { jobs } from '../background.ts'
import type { Config } from '../config.ts'
import type { Database, Db } from '../db/types.ts'
import { retry } from '../domains/jobs/public.ts'
import { countJobs, JOB_STATES, type JobState, listJobs, outcomeOf } from '../jobs/queries.ts'
import { systemActor } from '../lib/actor.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import { newId } from '../lib/id.ts'
import { createLogger } from '../lib/log.ts'
import { isProblem } from '../lib/problem.ts'
import { Progress } from '../lib/progress.ts'
import { isUuid } from '../lib/schema.ts'
import type { Command } from './command.ts'
import { withDatabase } from './with-database.ts'

const LISTED = 100

const run: Command = ([action, ...args]) => {
  if (action === 'list') return list(args)
  if (action === 'retry') return retryOne(args)
  if (action === 'run') return runNow(args)
  throw new StartupError(
    'Say what to do: plinth jobs list, plinth jobs retry ID, or plinth jobs run NAME.',
    EXIT_USAGE,
  )
}

export default run

function list(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { state: { type: 'string', default: 'failed' } } })
  const state = JOB_STATES.find(name => name === values.state)
  if (state === undefined) {
    throw new StartupError(`--state is one of ${JOB_STATES.join(', ')}.`, EXIT_USAGE)
  }
  return withDatabase(async ({ db }) => {
    await printCounts(db)
    await printJobs(db, state)
    return 0
  })
}

async function printCounts(db: Db) {
  const queues = await countJobs(db)
  const line = (cells: (string | number)[]) =>
    `${cells.map((cell, at) => (at === 0 ? String(cell).padEnd(28) : String(cell).padStart(10))).join('')}\n`
  process.stdout.write(line(['', ...JOB_STATES]))
  for (const { name, counts } of queues) {
    process.stdout.write(line([name, ...JOB_STATES.map(state => counts[state])]))
  }
}

async function printJobs(db: Db, state: JobState) {
  const found = await listJobs(db, { name: undefined, state, before: undefined }, LISTED)
  for (const job of found) {
    const { id, name, attempts, created_at } = job
    const { error, progress } = outcomeOf(job)
    const remark = error?.message ?? (progress && `${progress.done} of ${progress.total}`)
    process.stdout.write(`\n${id} ${name}, created ${created_at}, attempts: ${attempts}\n`)
    if (remark) process.stdout.write(`  ${remark}\n`)
  }
}

function retryOne([id = '']: string[]): Promise<number> {
  if (!isUuid(id))
    throw new StartupError('Name the job by its id, as `plinth jobs list` shows it.', EXIT_USAGE)
  return withDatabase(async ({ db }) => {
    try {
      const { name } = await retry(db, systemActor(), id)
      process.stdout.write(`${name} ${id} will be run again.\n`)
      return 0
    } catch (error) {
      if (!isProblem(error)) throw error
      throw new StartupError(error.message)
    }
  })
}

/** Here and now, whatever is queued or scheduled. */
function runNow([name = '', payloadText = '{}']: string[]): Promise<number> {
  const job = jobs.find(candidate => candidate.name === name)
  if (job === undefined) {
    const known = jobs.map(candidate => `  ${candidate.name.padEnd(28)} ${candidate.summary}\n`).join('')
    throw new StartupError(`There is no job ${name}. There are:\n${known}`, EXIT_USAGE)
  }
  const payload = readPayload(payloadText)
  const fault = Value.Errors(job.payload, payload).First()
  if (fault !== undefined) {
    throw new StartupError(`The payload does not fit: ${fault.path || '/'} ${fault.message}.`, EXIT_USAGE)
  }
  return withDatabase(async (database, config) => {
    await job.run(payload, await commandContext(database, config, name))
    process.stdout.write(`${name} is done.\n`)
    return 0
  })
}

function readPayload(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new StartupError('The payload is not JSON.', EXIT_USAGE)
  }
}

async function commandContext(database: Database, config: Config, name: string) {
  let bar: Progress | undefined
  return {
    config,
    database,
    logger: await createLogger(config.LOG_LEVEL),
    actor: systemActor(),
    id: newId(),
    attempt: 1,
    signal: new AbortController().signal,
    progress(done: number, total: number) {
      bar ??= new Progress(name, total)
      bar.update(done)
    },
  }
}
