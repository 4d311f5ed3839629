import { setMaxListeners } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import {
  endIdle,
  type Guard,
  guardedAgents,
  judgedAddresses,
  NOT_PUBLIC,
  NotFound,
} from './guarded-agents.ts'
import { byDns, bySystem, type Resolve } from './name-lookup.ts'
import { type Answer, readAnswer } from './outbound-answer.ts'
import { BROKEN_OFF, codeOf, Failure, sentenceOn } from './outbound-failure.ts'
import { isPublicAddress } from './public-address.ts'

export interface OutboundOptions {
  /** For development: addresses of any kind. */
  allow_private: boolean
  /** Looks names up; tests pass their own. */
  resolve?: Resolve
}

/** Sends requests to URLs that strangers chose. */
export interface Outbound {
  /** Why a URL may not be a target, as a sentence for its owner. A name that cannot be looked up now may be one. */
  refusal(url: string): Promise<string | undefined>
  /** Never rejects: what went wrong is told. */
  post(url: string, message: Message, limits: Limits): Promise<Attempt>
  /** Ends idle connections. */
  close(): void
}

export interface Message {
  headers: Record<string, string>
  body: Uint8Array
}

export interface Limits {
  /** From looking the name up until the headers of the answer are there. */
  time_ms: number
  signal?: AbortSignal
}

export interface Attempt extends Omit<Answer, 'status'> {
  /** null when there was no answer. */
  status: number | null
  /** Why there was no answer, or why it does not count. */
  error: string | null
  duration_ms: number
}

const MOST_URL_CHARACTERS = 2_048
const MOST_HEADER_BYTES = 16 * 1_024

/** A receiver may say that it is still at work (100, 102, 103), but not go on about it. */
const MOST_INTERIM_ANSWERS = 10

/** How long somebody who sets a URL waits for its name. */
const LOOKUP_MS = 2_000

export function createOutbound({
  allow_private,
  resolve = allow_private ? bySystem : byDns(),
}: OutboundOptions): Outbound {
  const guard: Guard = { mayConnect: allow_private ? () => true : isPublicAddress, resolve }
  const agents = { 'http:': guardedAgents('http:', guard), 'https:': guardedAgents('https:', guard) }

  return {
    async refusal(url) {
      try {
        const { hostname } = readTarget(url, guard)
        if (allow_private || addressOf(hostname) !== undefined) return undefined
        if (isOfNearby(hostname)) throw new Failure('The name is not one that the public can look up.')
        await inTime(judgedAddresses(hostname, guard))
        return undefined
      } catch (error) {
        return error instanceof NotFound ? undefined : sentenceOn(error)
      }
    },

    async post(url, message, limits) {
      const began = performance.now()
      const interruption = interrupt(limits)
      try {
        const answer = await ask(readTarget(url, guard), message, interruption.signal)
        return { ...answer, error: faultOf(answer.status), duration_ms: since(began) }
      } catch (error) {
        const nothing = { status: null, retry_after_seconds: undefined, answer: '' }
        return { ...nothing, error: sentenceOn(error), duration_ms: since(began) }
      } finally {
        interruption.end()
      }
    },

    close() {
      for (const each of Object.values(agents)) endIdle(each)
    },
  }

  async function ask(target: URL, message: Message, signal: AbortSignal) {
    const { kept, fresh } = agents[target.protocol as keyof typeof agents]
    try {
      return await send(target, message, kept, signal)
    } catch (error) {
      if (!(error instanceof Stale)) throw error
      return send(target, message, fresh, signal)
    }
  }
}

function readTarget(text: string, { mayConnect }: Guard): URL {
  if (text.length > MOST_URL_CHARACTERS) {
    throw new Failure(`The URL is longer than ${MOST_URL_CHARACTERS} characters.`)
  }
  if (!URL.canParse(text)) throw new Failure('This is not a URL.')
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Failure('The URL begins neither with https: nor with http:.')
  }
  if (url.username !== '' || url.password !== '') {
    throw new Failure('The URL holds a user name or a password.')
  }
  if (url.port === '0') throw new Failure('There is nothing behind port 0.')
  if (url.href.includes('#')) throw new Failure('The URL has a fragment (#), which is never sent.')
  const address = addressOf(url.hostname)
  if (address !== undefined && !mayConnect(address)) throw new Failure(NOT_PUBLIC)
  return url
}

/** The address that a host is without being looked up, if it is one; `localhost` and what is below it are this machine. */
function addressOf(hostname: string): string | undefined {
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  if (isIP(host) !== 0) return host
  return hostname.split('.').filter(Boolean).at(-1) === 'localhost' ? '127.0.0.1' : undefined
}

/** What only machines nearby can tell, by a file of hosts or by asking around. */
function isOfNearby(hostname: string): boolean {
  const labels = hostname.split('.').filter(Boolean)
  return labels.length < 2 || NEARBY.includes(labels.at(-1) ?? '')
}

const NEARBY = ['internal', 'local', 'lan', 'home', 'corp']

async function inTime(lookingUp: Promise<unknown>) {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new NotFound()), LOOKUP_MS)
  })
  await Promise.race([lookingUp, tooLate]).finally(() => clearTimeout(timer))
}

/** Aborts when the time is over or the service stops, with a reason for the owner. */
function interrupt({ time_ms, signal: stop }: Limits) {
  const controller = new AbortController()
  const onStop = () => controller.abort(new Failure('The service is stopping.'))
  const onTimeout = () => controller.abort(new Failure(`There was no answer within ${time_ms / 1_000} s.`))
  const timer = setTimeout(onTimeout, time_ms)
  if (stop !== undefined) {
    if (stop.aborted) onStop()
    // One signal stops all that is under way, and Node warns of more than ten.
    setMaxListeners(0, stop)
    stop.addEventListener('abort', onStop)
  }
  return {
    signal: controller.signal,
    end() {
      clearTimeout(timer)
      stop?.removeEventListener('abort', onStop)
    },
  }
}

/** A connection that was kept, and that the receiver had closed when we used it. */
class Stale extends Failure {}

function send(target: URL, { headers, body }: Message, agent: http.Agent, signal: AbortSignal) {
  return new Promise<Answer>((resolve, reject) => {
    signal.throwIfAborted()
    const request = (target.protocol === 'https:' ? https : http).request(target, {
      method: 'POST',
      agent,
      maxHeaderSize: MOST_HEADER_BYTES,
      headers: {
        ...headers,
        host: target.host,
        'content-length': body.length,
        // What is never unpacked cannot be a bomb.
        'accept-encoding': 'identity',
      },
    })

    let readBefore = 0
    let interim = 0
    request.once('socket', ({ bytesRead }) => {
      readBefore = bytesRead
    })
    request.on('information', () => {
      interim++
      if (interim > MOST_INTERIM_ANSWERS) request.destroy(new Failure('There were too many interim answers.'))
    })
    // Once there is an answer, no error can change it: what is resolved with stands, and reading it never fails.
    request.once('response', response => {
      // It may come before all was sent, and nothing else can be sent on that connection.
      response.once('close', () => {
        if (!request.writableFinished) request.destroy()
      })
      resolve(readAnswer(response))
    })
    request.once('upgrade', (response, socket) => {
      resolve(readAnswer(response))
      response.destroy()
      socket.destroy()
    })
    request.on('error', error => {
      const { socket, reusedSocket } = request
      const isStale = reusedSocket && isBrokenOff(error) && socket?.bytesRead === readBefore
      reject(isStale ? new Stale(BROKEN_OFF) : new Failure(sentenceOn(error, socket)))
    })
    signal.addEventListener('abort', () => {
      reject(signal.reason)
      request.destroy()
    })
    request.end(body)
  })
}

const isBrokenOff = (error: Error) => ['ECONNRESET', 'EPIPE'].includes(codeOf(error))

function faultOf(status: number): string | null {
  if (status >= 200 && status < 300) return null
  if (status >= 300 && status < 400) return 'A redirect is not followed.'
  return `The answer was ${status}, not 2xx.`
}

const since = (began: number) => Math.round(performance.now() - began)
