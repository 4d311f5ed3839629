import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, openConnection, requestText } from './connection.ts'

// A child of login-flood.ts: one client that asks so many times a second, whether or not it has been answered.

export interface Steady {
  port: number
  path: string
  token: string
  perSecond: number
  seconds: number
}

export interface SteadyReport {
  /** Milliseconds from when each was to be sent until it was answered: waiting to send counts. */
  latencies: number[]
  /** How much later than it was to be sent each was sent: our own part of its latency. */
  late: number[]
  /** Of what was not 200, how much of each. */
  others: Record<string, number>
}

const { port, path, token, perSecond, seconds } = JSON.parse(process.argv[2] ?? '') as Steady
const request = requestText({ path, token })
const report: SteadyReport = { latencies: [], late: [], others: {} }
const free: Connection[] = []

process.send?.('prepared')
process.once('message', async () => {
  const begun = performance.now()
  const asked: Promise<void>[] = []
  for (let number = 0; number < seconds * perSecond; number++) {
    const due = begun + (number * 1000) / perSecond
    const wait = due - performance.now()
    if (wait > 0) await sleep(wait)
    asked.push(askOnce(due))
  }
  await Promise.all(asked)
  process.send?.(report, () => process.exit(0))
})

async function askOnce(due: number) {
  const connection = free.pop() ?? openConnection(port)
  const { result, sentAt, endedAt } = await connection.send(request)
  free.push(connection)
  // A timer may be a little early.
  report.latencies.push(endedAt - Math.min(due, sentAt))
  report.late.push(sentAt - due)
  if (result !== '200') report.others[result] = (report.others[result] ?? 0) + 1
}
