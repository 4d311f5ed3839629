import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Config } from '../../../config.ts'
import { inTransaction } from '../../../db/transaction.ts'
import type { Database } from '../../../db/types.ts'
import { systemActor } from '../../../lib/actor.ts'
import { type Attempt, createOutbound, type Message, type OutboundOptions } from '../../../lib/outbound.ts'
import { repeat } from '../../../lib/repeat.ts'
import { createTurns } from '../../../lib/turns.ts'
import { createMailer } from '../../../mail/mailer.ts'
import { disableWebhook } from '../disabling.ts'
import { vaultOf } from '../secrets.ts'
import { createReader } from './fan-out.ts'
import {
  type ClaimedWebhook,
  claimWebhooks,
  type DueDelivery,
  endAllLeases,
  nextDelivery,
  releaseWebhook,
  renewLeases,
  storeOutcome,
} from './leases.ts'
import { messageOf, PING } from './message.ts'
import { verdictOn } from './schedule.ts'

/** What a webhook waits for its turn at most, where nothing is in the way. */
const POLL_MS = 250

const TIME_LIMIT_MS = 15_000

/** A process that died is found out after this. */
const LEASE_MS = 8_000
const RENEWALS_PER_LEASE = 4

/** A socket and a timer each. Those that fail, and may take all the time that they are given, never take others' places. */
const MOST_HEALTHY = 500
const MOST_FAILING = 250

/** Then it is somebody else's turn. */
const TURN_MS = 5_000

/** How long a receiver is left alone that has failed, whatever else waits for it. */
const REST_MS = 1_000

/** An event may have some megabytes, and a receiver a quarter of a minute: so much of it is on its way at once. */
const MOST_LARGE_BYTES = 64 * 1024 * 1024
const LARGE_BYTES = 64 * 1024

/** Of the connections to the database, which requests need as well. */
const STATEMENTS_AT_ONCE = 3

interface Prepared extends Pick<DueDelivery, 'id' | 'webhook_id' | 'type' | 'tries' | 'request_id' | 'url'> {
  message: Message | string
}

/** What is being sent to one webhook. */
interface Lane {
  failing: boolean
  done: Promise<void>
}

interface Surroundings {
  config: Config
  database: Database
  logger: Logger
}

/** What tests want otherwise. */
interface Settings {
  time_limit_ms?: number
  most_large_bytes?: number
  resolve?: OutboundOptions['resolve']
}

export interface Deliverer {
  /** Begins nothing new, gives what is being sent this long, and leaves the rest to others. */
  stop(graceMs: number): Promise<void>
}

/**
 * Sends events to webhooks until it is stopped; any number of processes may. To one webhook only one message is on its way
 * at a time, in order; different ones do not wait for each other.
 */
export function startDeliverer(
  { config, database, logger }: Surroundings,
  { time_limit_ms = TIME_LIMIT_MS, most_large_bytes = MOST_LARGE_BYTES, resolve }: Settings = {},
): Deliverer {
  const { db } = database
  const holder = { lease: randomUUID(), lease_ms: LEASE_MS }
  const vault = vaultOf(config)
  const mailer = createMailer(config)
  const outbound = createOutbound({
    allow_private: config.WEBHOOK_ALLOW_PRIVATE,
    ...(resolve !== undefined && { resolve }),
  })
  const lanes = new Map<string, Lane>()
  const statements = createTurns(STATEMENTS_AT_ONCE)
  const readOn = createReader(db)
  const stopping = new AbortController()
  const cutting = new AbortController()
  let firstLook = true
  let largeBytes = 0

  const every = (every_ms: number, failure: string, work: () => Promise<unknown>) =>
    repeat(work, { every_ms, logger, failure })
  const claiming = every(POLL_MS, 'finding webhooks for which something is due', claim)
  const reading = every(POLL_MS, 'reading events for webhooks', read)
  const renewing = every(LEASE_MS / RENEWALS_PER_LEASE, 'renewing the leases of webhooks', renew)

  return {
    async stop(graceMs) {
      stopping.abort()
      await Promise.all([claiming.end(), reading.end()])
      const timer = setTimeout(() => cutting.abort(), graceMs)
      await Promise.all([...lanes.values()].map(({ done }) => done))
      clearTimeout(timer)
      await renewing.end()
      outbound.close()
    },
  }

  async function read() {
    const { some, more } = await readOn()
    if (some) claiming.soon()
    if (more) reading.soon()
  }

  async function claim() {
    if (firstLook && database.kind === 'embedded') await endAllLeases(db)
    firstLook = false
    const failing = [...lanes.values()].filter(lane => lane.failing).length
    const healthy = lanes.size - failing
    const most = {
      healthy: Math.max(MOST_HEALTHY - healthy, 0),
      failing: Math.max(MOST_FAILING - failing, 0),
    }
    for (const webhook of await claimWebhooks(db, holder, most)) open(webhook)
  }

  function open({ id, failing }: ClaimedWebhook) {
    // Ours still, if it was given back a moment ago, or its lease could not be renewed in time.
    const before = lanes.get(id)?.done
    const lane: Lane = { failing, done: Promise.resolve(before).then(() => runLane(id)) }
    lanes.set(id, lane)
    lane.done = lane.done.then(() => {
      if (lanes.get(id) === lane) lanes.delete(id)
      claiming.soon()
    })
  }

  async function renew() {
    if (lanes.size > 0) await renewLeases(db, holder, [...lanes.keys()])
  }

  /** Sends to one webhook what is due, one after the other, until there is no more, something fails, or its turn is over. */
  async function runLane(webhook_id: string) {
    const until = performance.now() + TURN_MS
    let rest_ms = 0
    try {
      while (rest_ms === 0 && !stopping.signal.aborted && performance.now() < until) {
        const delivery = await prepareNext(webhook_id)
        if (delivery === undefined) break
        if (!(await deliverIfRoom(delivery))) rest_ms = REST_MS
      }
      await statements.run(() => releaseWebhook(db, holder, webhook_id, rest_ms))
    } catch (error) {
      logger.warn(
        { err: error, webhook_id },
        'sending to a webhook was interrupted; it goes on when its lease is over',
      )
    }
  }

  /** What is large goes back, as if it had not been its turn, while too much of the kind is on its way. */
  async function deliverIfRoom(delivery: Prepared): Promise<boolean> {
    const { message } = delivery
    const bytes = typeof message !== 'string' && message.body.length > LARGE_BYTES ? message.body.length : 0
    if (bytes > 0 && largeBytes > 0 && largeBytes + bytes > most_large_bytes) return false
    largeBytes += bytes
    try {
      return await deliver(delivery)
    } finally {
      largeBytes -= bytes
    }
  }

  /** Of the event, which may have megabytes, nothing but the bytes to be sent is held while a receiver takes its time. */
  async function prepareNext(webhook_id: string): Promise<Prepared | undefined> {
    const delivery = await statements.run(() => nextDelivery(db, holder, webhook_id))
    if (delivery === undefined) return undefined
    const { id, type, tries, request_id, url } = delivery
    return { id, webhook_id, type, tries, request_id, url, message: messageFor(delivery) }
  }

  /** Or why there is none. */
  function messageFor(delivery: DueDelivery): Message | string {
    const [current, previous] = [delivery.secret, delivery.previous_secret].map(
      sealed => sealed && vault.openIfPossible(sealed),
    )
    if (!current) return 'The secret cannot be read any more: rotate it.'
    const message = messageOf(delivery, previous ? [current, previous] : [current])
    return message ?? 'The event is not kept any more, or is not yours to see.'
  }

  /** Whether the receiver took it. */
  async function deliver(delivery: Prepared): Promise<boolean> {
    const { id, webhook_id, type, tries, request_id, url, message } = delivery
    const attempted_at = new Date().toISOString()
    const attempt =
      typeof message === 'string'
        ? unsent(message)
        : await outbound.post(url, message, { time_ms: time_limit_ms, signal: cutting.signal })
    // What was cut off is as good as never begun; what was answered just in time counts.
    if (cutting.signal.aborted && attempt.status === null) return false
    const verdict = verdictOn(attempt, tries, type === PING)
    const { status, duration_ms, answer, error } = attempt
    const entry = { attempted_at, duration_ms, response_status: status, response_body: answer, error }
    const facts = { webhook_id, delivery_id: id, event_type: type, attempt: tries + 1, duration_ms, status }
    logger.info(
      { ...facts, ...(request_id !== null && { request_id }), ...(error !== null && { error }) },
      error === null ? 'webhook delivered' : 'webhook not delivered',
    )
    await statements.run(() => store(delivery, { ...verdict, attempt: entry }, verdict.gone))
    return error === null
  }

  async function store(delivery: Prepared, outcome: Parameters<typeof storeOutcome>[3], gone: boolean) {
    const { webhook_id, request_id } = delivery
    if (outcome.status === 'succeeded') {
      await storeOutcome(db, holder, delivery, outcome)
      return
    }
    await inTransaction(db, async tx => {
      const failing = await storeOutcome(tx, holder, delivery, outcome)
      if (failing === undefined) return
      const reason = gone ? 'gone' : failing.for_too_long ? 'failing' : undefined
      const actor = systemActor({ request_id, ip: null, user_agent: null })
      if (reason !== undefined) await disableWebhook(tx, mailer, actor, webhook_id, reason)
    })
  }
}

const unsent = (error: string): Attempt => ({
  status: null,
  retry_after_seconds: undefined,
  answer: '',
  error,
  duration_ms: 0,
})
