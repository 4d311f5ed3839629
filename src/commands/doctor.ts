import { constants } from 'node:fs'
import { access, mkdir, statfs } from 'node:fs/promises'
import { sql } from 'drizzle-orm'
import nodemailer from 'nodemailer'
import { jobs } from '../background.ts'
import { type Config, loadConfig } from '../config.ts'
import { connect } from '../db/connect.ts'
import { pendingMigrations } from '../db/migrate.ts'
import { firstRow } from '../db/rows.ts'
import type { Database } from '../db/types.ts'
import { readStanding, type Standing } from '../domains/webhooks/public.ts'
import { countMissingQueues, longestWaitSeconds } from '../jobs/queries.ts'
import { EXIT_TEMPORARY, StartupError } from '../lib/exit-codes.ts'
import { describeError, rootCause } from '../lib/log.ts'
import { smtpOptions } from '../mail/smtp.ts'
import { connectRedis } from '../redis/connect.ts'
import type { Command } from './command.ts'

const TIMEOUT_MS = 5_000
const MAX_CLOCK_DIFFERENCE_MS = 1_000
/** Workers that are merely busy catch up sooner, with jobs as with webhooks. */
const MAX_WAIT_SECONDS = 600

const MIN_FREE_BYTES = 512 * 1024 * 1024

interface Finding {
  state: 'ok' | 'skipped' | 'failed'
  detail: string
}

const ok = (detail: string): Finding => ({ state: 'ok', detail })
const skipped = (detail: string): Finding => ({ state: 'skipped', detail })
const failed = (detail: string): Finding => ({ state: 'failed', detail })

const run: Command = async () => {
  const config = loadConfig()
  report('configuration', ok(`NODE_ENV=${config.NODE_ENV}`))
  const findings = [
    ...(await checkDatabase(config)),
    report('redis', await orFailure(checkRedis(config))),
    report('mail', await orFailure(checkMail(config))),
    report('disk', await orFailure(checkDisk(config))),
  ]
  return findings.some(({ state }) => state === 'failed') ? 1 : 0
}

export default run

const marks = { ok: 'ok', skipped: '-', failed: 'FAILED' }

function report(name: string, finding: Finding): Finding {
  process.stdout.write(`${marks[finding.state].padEnd(7)} ${name.padEnd(14)} ${finding.detail}\n`)
  return finding
}

async function orFailure(check: Promise<Finding>): Promise<Finding> {
  try {
    return await check
  } catch (error) {
    return failed(reason(error))
  }
}

function reason(error: unknown): string {
  const { message, code } = describeError(rootCause(error))
  return message || String(code)
}

async function checkDatabase(config: Config): Promise<Finding[]> {
  let database: Database
  try {
    database = await connect(config)
  } catch (error) {
    const inUse = error instanceof StartupError && error.exitCode === EXIT_TEMPORARY
    return [report('database', inUse ? skipped(error.message) : failed(reason(error)))]
  }
  try {
    return [
      report('database', await orFailure(checkConnection(database))),
      report('text', await orFailure(checkText(database))),
      report('migrations', await orFailure(checkMigrations(database))),
      report('clock', await orFailure(checkClock(database))),
      report('jobs', await orFailure(checkJobs(database))),
      report('webhooks', await orFailure(checkWebhooks(database, config))),
    ]
  } finally {
    await database.close()
  }
}

async function checkConnection({ db, kind }: Database): Promise<Finding> {
  const start = performance.now()
  const row = await firstRow<{ version: string }>(
    db,
    sql`select current_setting('server_version') as version`,
  )
  return ok(`Postgres ${row?.version}, ${kind}, answered in ${Math.round(performance.now() - start)} ms`)
}

/** In a database of ctype C, searches know the case of ASCII only, and the index of contents no other letters. */
async function checkText({ db }: Database): Promise<Finding> {
  const row = await firstRow<{ folds: boolean }>(db, sql`select 'ÄЖ' ilike 'äж' as folds`)
  return row?.folds
    ? ok('searches know the case of all letters')
    : failed('searches know the case of ASCII only: make the database with a UTF-8 LC_CTYPE such as C.UTF-8')
}

async function checkMigrations({ db }: Database): Promise<Finding> {
  const pending = (await pendingMigrations(db)) + (await countMissingQueues(db, jobs))
  return pending === 0 ? ok('up to date') : failed(`${pending} not applied: run \`plinth migrate\``)
}

async function checkJobs({ db, kind }: Database): Promise<Finding> {
  if (kind === 'embedded') return skipped('the web process runs them, when it runs')
  const seconds = (await longestWaitSeconds(db)) ?? 0
  const detail = `due for ${Math.round(seconds)} s at most`
  return seconds < MAX_WAIT_SECONDS ? ok(detail) : failed(`${detail}: is there a worker?`)
}

async function checkWebhooks({ db, kind }: Database, config: Config): Promise<Finding> {
  const standing = await readStanding(db, new Date(Date.now() - MAX_WAIT_SECONDS * 1000))
  const detail = [...describeStanding(standing), ...describeReach(config)].join('; ')
  // While this command has the embedded database, nobody else can send.
  const isSent = kind === 'embedded' || (standing.forgotten === 0 && !standing.unread)
  return isSent ? ok(detail) : failed(`${detail}: is there a worker?`)
}

function* describeStanding({ enabled, failing, overdue, forgotten, unread }: Standing) {
  yield `${enabled} enabled, ${failing} of them failing`
  yield `overdue deliveries: ${overdue}${forgotten === 0 ? '' : `, with nothing in their way: ${forgotten}`}`
  if (unread) yield 'events have not been read for them'
}

function* describeReach({ NODE_ENV, WEBHOOK_ALLOW_PRIVATE }: Config) {
  if (NODE_ENV === 'production' && WEBHOOK_ALLOW_PRIVATE)
    yield 'they may reach this network, as WEBHOOK_ALLOW_PRIVATE=true'
}

async function checkClock({ db, kind }: Database): Promise<Finding> {
  if (kind === 'embedded') return skipped('the embedded database has the same clock')
  const before = Date.now()
  const row = await firstRow<{ ms: string }>(
    db,
    sql`select extract(epoch from clock_timestamp()) * 1000 as ms`,
  )
  // The server read its clock somewhere between our two looks at ours.
  const difference = Math.round(Number(row?.ms) - (before + Date.now()) / 2)
  const detail = `${difference} ms ahead of this machine's`
  return Math.abs(difference) <= MAX_CLOCK_DIFFERENCE_MS ? ok(detail) : failed(detail)
}

async function checkRedis(config: Config): Promise<Finding> {
  const redis = connectRedis(config)
  if (redis === undefined) return skipped('REDIS_URL is not set: each process counts limits by itself')
  try {
    const start = performance.now()
    await new Promise((resolve, reject) => {
      redis.once('ready', resolve)
      redis.once('error', reject)
      setTimeout(reject, TIMEOUT_MS, new Error('no answer in time')).unref()
    })
    // By a write: one that is full or a replica answers a ping.
    await redis.set('plinth:look', 1, 'PX', TIMEOUT_MS)
    return ok(`answered in ${Math.round(performance.now() - start)} ms`)
  } finally {
    redis.disconnect()
  }
}

async function checkMail(config: Config): Promise<Finding> {
  const options = smtpOptions(config, TIMEOUT_MS)
  if (options === undefined) return skipped('MAIL_SERVER is not set')
  const transport = nodemailer.createTransport(options)
  try {
    await transport.verify()
    return ok(`${config.MAIL_SERVER}:${config.MAIL_PORT} takes mail`)
  } finally {
    transport.close()
  }
}

async function checkDisk({ DATA_DIR, NODE_ENV }: Config): Promise<Finding> {
  if (NODE_ENV === 'production') return skipped('production keeps nothing on this disk')
  await mkdir(DATA_DIR, { recursive: true, mode: 0o700 })
  await access(DATA_DIR, constants.W_OK)
  const { bavail, bsize } = await statfs(DATA_DIR)
  const detail = `${Math.round((bavail * bsize) / 1024 / 1024)} MiB free in ${DATA_DIR}`
  return bavail * bsize >= MIN_FREE_BYTES ? ok(detail) : failed(detail)
}
