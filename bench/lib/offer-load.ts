import { connect, type Socket } from 'node:net'
import { quantile } from './stats.ts'

// A child of overload.ts: requests at moments that do not depend on the answers (Poisson), over many kept connections,
// or one after the other on a few. Written for little CPU: it must be able to offer four times what the service can do.

export interface Offer {
  port: number
  connections: number
  seconds: number
  /** Before anything is counted. */
  settle_seconds: number
  /** Undefined: as many as are answered, each connection asking anew at once. */
  per_second?: number
  /** Requests as text, each with its share of the mix. */
  kinds: { share: number; texts: string[] }[]
}

export interface Offered {
  offered: number
  good: number
  /** Successes that came too late to be of use. */
  late: number
  refused: number
  /** Anything that is neither a success nor a 503 with `Retry-After`. */
  others: Record<string, number>
  admitted_ms: Quantiles
  refused_ms: Quantiles
  health_ms: Quantiles
  /** How much later than intended requests were sent for which a connection was free: the generator's own part. */
  lag_ms: Quantiles
}

/** Null where there was nothing to measure. */
type Quantiles = { p50: number | null; p99: number | null }

/** Whoever waits longer has given up: an answer after that is work in vain. */
const USEFUL_MS = 1_000
const TICK_MS = 1
const HEALTH_EVERY_MS = 50

interface Client {
  socket: Socket
  /** When the request under way should have been sent; 0 when there is none. */
  due: number
  sentAt: number
  status: number
  /** Of the body, once the head has come. */
  missing: number
  onAnswer: (client: Client, retryAfter: boolean) => void
}

const offer = JSON.parse(process.argv[2] ?? '') as Offer
const HEAD_END = Buffer.from('\r\n\r\n')
const LENGTH = Buffer.from('content-length: ')
const RETRY_AFTER = Buffer.from('retry-after: ')
const HEALTH = 'GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'

let sum = 0
const kinds = offer.kinds.map(({ share, texts }) => {
  sum += share
  return { until: sum, texts }
})
const admitted: number[] = []
const refused: number[] = []
const health: number[] = []
const lag: number[] = []
const others: Record<string, number> = {}
const backlog: number[] = []
/** The one that has rested longest first: one that is never used is closed by the service. */
const free: Client[] = []
let freeHead = 0
let good = 0
let late = 0
let offered = 0
let counting = false
let running = true
let backlogHead = 0

const clients = await Promise.all(Array.from({ length: offer.connections }, () => open(answered)))
const prober = await open(client => {
  if (counting) health.push(performance.now() - client.due)
  client.due = 0
})
free.push(...clients)
process.send?.('prepared')
process.once('message', run)

async function run() {
  const probing = setInterval(
    () => prober.due === 0 && send(prober, HEALTH, performance.now()),
    HEALTH_EVERY_MS,
  )
  if (offer.per_second === undefined) for (const client of free) ask(client, performance.now())
  else offerSteadily(offer.per_second)
  setTimeout(() => {
    counting = true
  }, offer.settle_seconds * 1000)
  setTimeout(
    () => {
      running = false
      clearInterval(probing)
      report()
    },
    (offer.settle_seconds + offer.seconds) * 1000,
  )
}

function offerSteadily(perSecond: number) {
  const gap = () => (-Math.log(1 - Math.random()) * 1000) / perSecond
  let due = performance.now() + gap()
  const tick = () => {
    const now = performance.now()
    for (; due <= now; due += gap()) {
      if (counting) offered++
      const client = nextFree()
      if (client === undefined) backlog.push(due)
      else {
        if (counting) lag.push(now - due)
        ask(client, due)
      }
    }
    if (running) setTimeout(tick, TICK_MS)
  }
  tick()
}

function nextFree(): Client | undefined {
  const client = free[freeHead]
  if (client === undefined) return undefined
  freeHead++
  if (freeHead === offer.connections) free.splice(0, freeHead)
  freeHead %= offer.connections
  return client
}

function ask(client: Client, due: number) {
  const draw = Math.random()
  const { texts } = kinds.find(({ until }) => draw < until) ?? kinds[0] ?? { texts: [] }
  send(client, texts[Math.floor(Math.random() * texts.length)] ?? '', due)
}

function send(client: Client, text: string, due: number) {
  client.due = due
  client.sentAt = performance.now()
  client.socket.write(text, 'latin1')
}

function answered(client: Client, retryAfter: boolean) {
  const now = performance.now()
  if (counting && running) count(client, now, retryAfter)
  client.due = 0
  const due = backlog[backlogHead]
  if (!running) return
  if (due !== undefined) {
    backlogHead++
    ask(client, due)
  } else if (offer.per_second === undefined) ask(client, now)
  else free.push(client)
}

function count({ status, due, sentAt }: Client, now: number, retryAfter: boolean) {
  if (status === 503 && retryAfter) refused.push(now - sentAt)
  else if (status < 200 || status > 299) others[status] = (others[status] ?? 0) + 1
  else {
    admitted.push(now - due)
    if (now - due <= USEFUL_MS) good++
    else late++
  }
}

function open(onAnswer: Client['onAnswer']): Promise<Client> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: offer.port, host: '127.0.0.1', noDelay: true })
    const client: Client = { socket, due: 0, sentAt: 0, status: 0, missing: -1, onAnswer }
    socket.on('connect', () => resolve(client))
    socket.on('data', chunk => read(client, chunk))
    socket.on('error', error => {
      reject(error)
      others[error.message] = (others[error.message] ?? 0) + 1
    })
  })
}

let retryAfter = false

/** A head comes in one piece on loopback; a body may come in several. */
function read(client: Client, chunk: Buffer) {
  if (client.missing >= 0) client.missing -= chunk.length
  else {
    const end = chunk.indexOf(HEAD_END)
    const at = chunk.indexOf(LENGTH)
    client.status = Number(chunk.toString('latin1', 9, 12))
    const length =
      at < 0 || at > end ? 0 : Number.parseInt(chunk.toString('latin1', at + LENGTH.length, at + 28), 10)
    client.missing = length - (chunk.length - end - HEAD_END.length)
    if (client.status === 503) retryAfter = chunk.indexOf(RETRY_AFTER) > 0
  }
  if (client.missing > 0) return
  client.missing = -1
  client.onAnswer(client, retryAfter)
}

function report() {
  const found: Offered = {
    offered: offer.per_second === undefined ? admitted.length + refused.length : offered,
    good,
    late,
    refused: refused.length,
    others,
    admitted_ms: quantiles(admitted),
    refused_ms: quantiles(refused),
    health_ms: quantiles(health),
    lag_ms: quantiles(lag),
  }
  process.send?.(found, () => process.exit(0))
}

function quantiles(values: number[]): Quantiles {
  return values.length === 0
    ? { p50: null, p99: null }
    : { p50: quantile(values, 0.5), p99: quantile(values, 0.99) }
}
