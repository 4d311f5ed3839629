import { setPriority } from 'node:os'
import { emailOf, login } from './accounts.ts'
import { type Answer, openConnection, requestText } from './connection.ts'

// A child of login-flood.ts: clients that sign in again as soon as they are answered.

export interface Flood {
  port: number
  clients: number
  accounts: number
  seconds: number
}

export interface FloodReport {
  seconds: number
  /** Milliseconds until each login was served. */
  served: number[]
  /** Milliseconds until each 503. */
  refused: number[]
  withoutRetryAfter: number
  /** Of what was neither 200 nor 503, how much of each. */
  others: Record<string, number>
}

/** In earnest these are other machines: they get what the service leaves of the cores. */
const NICENESS = 10

setPriority(NICENESS)
const { port, clients, accounts, seconds } = JSON.parse(process.argv[2] ?? '') as Flood
const requests = Array.from({ length: accounts }, (_, number) => requestText(login(emailOf('flood', number))))
const report: FloodReport = { seconds, served: [], refused: [], withoutRetryAfter: 0, others: {} }
let next = 0

process.send?.('prepared')
process.once('message', async () => {
  const begun = performance.now()
  const end = begun + seconds * 1000
  await Promise.all(Array.from({ length: clients }, () => signInUntil(end)))
  report.seconds = (performance.now() - begun) / 1000
  process.send?.(report, () => process.exit(0))
})

async function signInUntil(end: number) {
  const connection = openConnection(port)
  while (performance.now() < end) note(await connection.send(requests[next++ % accounts] ?? ''))
  connection.close()
}

function note({ result, sentAt, endedAt, retryAfter }: Answer) {
  if (result === '200') report.served.push(endedAt - sentAt)
  else if (result === '503') {
    report.refused.push(endedAt - sentAt)
    if (!(Number(retryAfter) >= 1)) report.withoutRetryAfter++
  } else report.others[result] = (report.others[result] ?? 0) + 1
}
