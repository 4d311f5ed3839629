import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { sql } from 'drizzle-orm'
import { allRows } from '../src/db/rows.ts'
import { withDatabase } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'
import { builtScript, type Service, startService, temporaryDirectory } from './lib/service.ts'
import { countBy, median } from './lib/stats.ts'
import { until } from './lib/wait.ts'
import { type Arrival, addEvents, addWebhooks, openDatabase, receive, SENDING } from './lib/webhooks.ts'

const WEBHOOKS = 10

/** As in deliverer.ts. */
const LEASE_SECONDS = 8

/** To start a process on a machine that does other things, and to look for what is due. */
const MARGIN_SECONDS = 4

/** So that the deliveries last longer than the deaths. */
const ANSWER_AFTER_MS = 5

const { values } = parseArgs({
  options: { deliveries: { type: 'string', default: '1000' }, kills: { type: 'string', default: '5' } },
})
const deliveries = Number(values.deliveries)
const kills = Number(values.kills)
endAfter(300)

await withDatabase(async url => {
  const environment = { DATABASE_URL: url, ...SENDING }
  await bench('Postgres, two workers', environment, 'worker.js', 2, LEASE_SECONDS + MARGIN_SECONDS)
})
const environment = { DATA_DIR: temporaryDirectory(), PORT: '0', ...SENDING }
await bench('embedded, one process', environment, 'server.js', 1, MARGIN_SECONDS)

async function bench(
  name: string,
  environment: Record<string, string>,
  script: string,
  processes: number,
  limitSeconds: number,
) {
  console.log(`\n${name}, ${kills} times kill -9`)
  const { arrivals, url } = await receive(ANSWER_AFTER_MS)
  const opened = await openDatabase(environment)
  const urls = Array.from({ length: WEBHOOKS }, (_, number) => `${url}/${number}`)
  const owner = await addWebhooks(opened, urls)
  await addEvents(opened.database, owner, deliveries / WEBHOOKS)
  await opened.database.close()

  const start = () => startService(builtScript(script), environment)
  const services = Array.from({ length: processes }, start)
  const deaths: number[] = []
  for (let turn = 1; turn <= kills; turn++) {
    const share = (deliveries * turn) / (kills + 1)
    await until('more to arrive', () => distinct(arrivals) >= share || undefined, { everyMs: 1 })
    const index = busiest(services)
    deaths.push(await kill(services[index]))
    services[index] = start()
  }
  await until('all to arrive', () => distinct(arrivals) === deliveries || undefined).catch(() => {})
  // What was under way when its sender died may come once more.
  await sleep(1_000)
  for (const service of services) await service.stop()
  await judge(environment, arrivals, deaths, limitSeconds)
}

function distinct(arrivals: Arrival[]): number {
  return countBy(arrivals, ({ path, id }) => path + id).size
}

/** Whose last delivery is the latest: that one has webhooks of its own right now. */
function busiest(services: Service[]): number {
  const last = services.map(
    ({ log }) => log.findLast(({ msg }) => msg === 'webhook delivered') as Timed | undefined,
  )
  const times = last.map(line => Date.parse(line?.time ?? '') || 0)
  return times.indexOf(Math.max(...times))
}

interface Timed {
  time: string
}

async function kill(service: Service | undefined): Promise<number> {
  if (service === undefined) throw new Error('There is no such process.')
  const exit = once(service.child, 'exit')
  service.child.kill('SIGKILL')
  await exit
  return performance.now()
}

async function judge(
  environment: Record<string, string>,
  arrivals: Arrival[],
  deaths: number[],
  limitSeconds: number,
) {
  const { database } = await openDatabase(environment)
  const [row] = (await rowsOf(database)) as [{ succeeded: number; all: number }]
  await database.close()
  const counts = countBy(arrivals, ({ path, id }) => path + id)
  const repeated = [...counts.values()].filter(count => count > 1).length
  const waits = deaths.flatMap(death => waitsAfter(death, arrivals))
  console.log(`deliveries ${deliveries}, arrived ${counts.size}, missing ${deliveries - counts.size}`)
  console.log(`arrived more than once ${repeated}; succeeded in the log ${row.succeeded} of ${row.all}`)
  const [middle, longest] = [median(waits), Math.max(...waits)].map(seconds => seconds.toFixed(1))
  console.log(`from a death until a webhook's next message: median ${middle} s, longest ${longest} s`)
  expect(counts.size === deliveries, 'none is missing')
  expect(row.succeeded === deliveries && row.all === deliveries, 'the log says so')
  expect(repeated <= deaths.length * WEBHOOKS, 'none came twice but those that were under way')
  expect(Math.max(...waits) <= limitSeconds, `deliveries went on within ${limitSeconds} s`)
}

/** How long each webhook that was to get more had to wait. */
function waitsAfter(death: number, arrivals: Arrival[]): number[] {
  const later = arrivals.filter(({ at }) => at > death)
  const paths = [...new Set(later.map(({ path }) => path))]
  return paths.map(path => ((later.find(arrival => arrival.path === path)?.at ?? death) - death) / 1_000)
}

async function rowsOf({ db }: Awaited<ReturnType<typeof openDatabase>>['database']) {
  return allRows(
    db,
    sql`select count(*) filter (where status = 'succeeded')::int as succeeded, count(*)::int as all from webhook_deliveries`,
  )
}
