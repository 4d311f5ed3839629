import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { withDatabase } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'
import { builtScript, startService } from './lib/service.ts'
import { quantile } from './lib/stats.ts'
import { usageOf } from './lib/usage.ts'
import { until } from './lib/wait.ts'
import { addEvents, addWebhooks, backendsOf, openDatabase, receive, SENDING } from './lib/webhooks.ts'

/** So that events do not always come at the same time between two looks. */
const LONGEST_PAUSE_MS = 300

const IDLE_SECONDS = 20
const LONGEST_LATENCY_MS = 1_000

const { values } = parseArgs({
  options: { deliveries: { type: 'string', default: '4000' }, latencies: { type: 'string', default: '100' } },
})
const deliveries = Number(values.deliveries)
endAfter(280)

await withDatabase(async url => {
  const environment = { DATABASE_URL: url, ...SENDING }
  const opened = await openDatabase(environment)
  const { database } = opened
  const { arrivals, url: target } = await receive(0)
  const worker = startService(builtScript('worker.js'), environment)
  await until('the worker', () => worker.log.some(({ msg }) => msg === 'worker ready') || undefined)
  await sleep(1_000)

  const used = async () => {
    const pids = await backendsOf(database)
    const postgres = pids.reduce((sum, pid) => sum + usageOf(pid).cpu_ms, 0)
    return { worker: usageOf(worker.pid).cpu_ms, postgres }
  }

  const before = await used()
  await sleep(IDLE_SECONDS * 1_000)
  const after = await used()
  const [own, theirs] = [after.worker - before.worker, after.postgres - before.postgres]
  const share = (cpu_ms: number) => `${(cpu_ms / IDLE_SECONDS / 10).toFixed(2)} %`
  console.log(`idle: worker ${share(own)} of a core, Postgres ${share(theirs)}`)

  for (const endpoints of [1, 100]) await throughput(endpoints)
  const alone = await latency('one endpoint')
  expect(alone <= LONGEST_LATENCY_MS, `p99 below ${LONGEST_LATENCY_MS} ms`)
  for (const number of [1, 2, 3, 4, 5]) {
    const hanging = Array.from({ length: 10 }, (_, index) => `${target}/hanging/${number}/${index}`)
    await addEvents(database, await addWebhooks(opened, hanging), 1_000)
  }
  await until('the hanging ones', () => (countOf('/hanging') >= 50 ? true : undefined))
  const beside = await latency('the same beside 50 that hang')
  expect(beside <= LONGEST_LATENCY_MS, `p99 below ${LONGEST_LATENCY_MS} ms`)
  await worker.stop()
  await database.close()

  function countOf(path: string) {
    return arrivals.filter(arrival => arrival.path.startsWith(path)).length
  }

  async function throughput(endpoints: number) {
    const path = `/of-${endpoints}/`
    const urls = Array.from({ length: endpoints }, (_, number) => `${target}${path}${number}`)
    const owner = await addWebhooks(opened, urls)
    const start = await used()
    await addEvents(database, owner, deliveries / endpoints)
    await until(`${deliveries} to arrive`, () => countOf(path) >= deliveries || undefined, {
      limitMs: 120_000,
      everyMs: 50,
    })
    const end = await used()
    const own = arrivals.filter(arrival => arrival.path.startsWith(path))
    const seconds = ((own.at(-1)?.at ?? 0) - (own[0]?.at ?? 0)) / 1_000
    const each = (cpu_ms: number) => `${((cpu_ms / deliveries) * 1_000).toFixed(0)} µs`
    console.log(
      `${endpoints} endpoints: ${Math.round(deliveries / seconds)} deliveries/s; CPU of each ` +
        `${each(end.worker - start.worker)} worker, ${each(end.postgres - start.postgres)} Postgres`,
    )
  }

  /** Answers with the 99th percentile. */
  async function latency(what: string): Promise<number> {
    const path = `/${what.replaceAll(' ', '-')}`
    const owner = await addWebhooks(opened, [`${target}${path}`])
    const times: number[] = []
    for (let count = 1; count <= Number(values.latencies); count++) {
      await addEvents(database, owner, 1)
      const committed = performance.now()
      await until('it to arrive', () => countOf(path) >= count || undefined, { everyMs: 1 })
      times.push((arrivals.findLast(arrival => arrival.path === path)?.at ?? 0) - committed)
      await sleep(Math.random() * LONGEST_PAUSE_MS)
    }
    const [middle, p99] = [quantile(times, 0.5), quantile(times, 0.99)]
    console.log(`${what}: from commit to arrival median ${middle.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`)
    return p99
  }
})
