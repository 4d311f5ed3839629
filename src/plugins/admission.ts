import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Load } from '../lib/expected-wait.ts'
import { createLine } from '../lib/line.ts'

type Listener = (request: IncomingMessage, response: ServerResponse) => void

interface AdmissionOptions<Reason> {
  serve: Listener
  refuse: (request: IncomingMessage, response: ServerResponse, reason: Reason) => void
  isExempt: (request: IncomingMessage) => boolean
  reasonToRefuse: (now: number) => Reason | undefined
  /** How many may stand in the line when somebody had to be refused for this reason. */
  lineLimit: (now: number, reason: Reason) => number
}

type Waiting = readonly [IncomingMessage, ServerResponse]

/**
 * How long requests are begun in one turn of the event loop; the others stand in a line meanwhile. All that has arrived is
 * read in each turn, so who is refused, and whoever asks for health, gets the answer within a few milliseconds, however
 * long the line is. Without it, a turn lasts as long as all that have arrived take together.
 */
const SLICE_MS = 2

/** Of a turn that others made long, such as the answers of the database or a job, requests get this share at least. */
const LEAST_SHARE = 1 / 4

/** Lets requests in one after the other, and refuses those for which there is a reason. */
export function createAdmission<Reason>(options: AdmissionOptions<Reason>) {
  const { serve, refuse, isExempt, reasonToRefuse, lineLimit } = options
  const line = createLine<Waiting>()
  let answered = 0
  /** When requests must not be begun any more in this turn; undefined before the first. */
  let slice_until: number | undefined
  let slice_ended_at = 0

  return {
    arrive,
    load: (): Load => ({ waiting: line.length, answered }),
  }

  function arrive(request: IncomingMessage, response: ServerResponse) {
    if (isExempt(request)) return serve(request, response)
    const now = performance.now()
    const reason = reasonToRefuse(now)
    if (reason !== undefined) {
      refuse(request, response, reason)
      shorten(now, reason)
      return
    }
    if (slice_until === undefined) {
      slice_until = now + SLICE_MS
      setImmediate(endTurn)
    }
    if (line.length === 0 && now < slice_until) {
      answered++
      serve(request, response)
    } else line.push([request, response])
  }

  /** Those who came last have waited least. */
  function shorten(now: number, reason: Reason) {
    for (let over = line.length - lineLimit(now, reason); over > 0; over--) {
      const last = line.last()
      if (last !== undefined) refuse(...last, reason)
    }
  }

  function endTurn() {
    slice_until = undefined
    if (line.length === 0) return
    slice_ended_at = performance.now()
    pump()
  }

  /** In each turn once, when all that arrived has been read. */
  function pump() {
    const now = performance.now()
    slice_until = now + Math.max(SLICE_MS, (now - slice_ended_at) * LEAST_SHARE)
    serveFirst()
  }

  function serveFirst() {
    const first = line.first()
    if (first !== undefined) {
      answered++
      const [request, response] = first
      // Who has gone needs no answer.
      if (!response.destroyed) serve(request, response)
    }
    // After the promises that this request has left behind, or only a part of its work would be counted.
    queueMicrotask(afterPromises)
  }

  function afterPromises() {
    process.nextTick(goOn)
  }

  function goOn() {
    const now = performance.now()
    if (line.length > 0 && now < (slice_until ?? 0)) return serveFirst()
    slice_ended_at = now
    if (line.length > 0) setImmediate(pump)
    else slice_until = undefined
  }
}
