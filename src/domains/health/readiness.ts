import type { FastifyInstance } from 'fastify'
import { pendingMigrations } from '../../db/migrate.ts'
import { countMissingQueues } from '../../jobs/queries.ts'
import { type Phase, takesTraffic } from '../../lib/lifecycle.ts'
import type { LoadShedding } from '../../plugins/load-shedding.ts'

/** A dependency that takes longer than this is as good as away: with the age of an answer, readiness tells within 2 s. */
const CHECK_TIMEOUT_MS = 800

/** Many probes at once cost one measurement, and none is answered with an older one than this. */
const MAX_AGE_MS = 1_000

interface Check {
  status: 'ok' | 'failed'
  latency_ms: number
  required: boolean
}

interface Found {
  ready: boolean
  phase: Phase
  database: 'connected' | 'disconnected'
  checks: Record<string, Check>
}

/** Measures when asked. */
export function readinessProbe(app: FastifyInstance): () => Promise<Found> {
  const { database, sharedRedis, lifecycle, jobs } = app
  let last: { at: number; phase: Phase; checks: Promise<Record<string, Check>> } | undefined

  return async () => {
    const { phase } = lifecycle
    // What was true while migrating says nothing about now.
    if (last === undefined || last.phase !== phase || performance.now() - last.at > MAX_AGE_MS) {
      last = { at: performance.now(), phase, checks: measure() }
    }
    const measured = await last.checks
    const load = app.loadShedding && loadCheck(app.loadShedding)
    const checks: typeof measured = load ? { ...measured, load } : measured
    return {
      ready:
        takesTraffic(phase) && Object.values(checks).every(check => check.status === 'ok' || !check.required),
      phase,
      database: checks.database?.status === 'ok' ? 'connected' : 'disconnected',
      checks,
    }
  }

  async function measure(): Promise<Record<string, Check>> {
    let pending = 0
    const [databaseCheck, redisCheck] = await Promise.all([
      check(true, async () => {
        const { db } = database
        pending = (await pendingMigrations(db)) + (await countMissingQueues(db, jobs))
      }),
      // Without Redis the service goes on, with counters of its own in each process.
      sharedRedis && check(false, () => sharedRedis.ask(redis => redis.ping())),
    ])
    const migrations = { ...databaseCheck, status: pending === 0 ? databaseCheck.status : 'failed' } as const
    return { database: databaseCheck, migrations, ...(redisCheck && { redis: redisCheck }) }
  }
}

/** Its latency is that of a request which has to wait for its turn, and then for a connection. */
function loadCheck({ isLasting, waitMs }: LoadShedding): Check {
  return {
    status: isLasting() ? 'failed' : 'ok',
    latency_ms: Math.round(waitMs() * 100) / 100,
    required: true,
  }
}

async function check(required: boolean, ask: () => Promise<unknown>): Promise<Check> {
  const start = performance.now()
  const status = await withinTime(ask()).then(
    () => 'ok' as const,
    () => 'failed' as const,
  )
  return { status, latency_ms: Math.round((performance.now() - start) * 100) / 100, required }
}

function withinTime(work: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(reject, CHECK_TIMEOUT_MS, new Error('No answer in time.'))
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
