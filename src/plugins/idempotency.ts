import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { type Deferral, defer } from '../db/deferral.ts'
import type { Db } from '../db/types.ts'
import { type Answer, KEPT_HEADERS, openAnswer, sealAnswer } from '../idempotency/answers.ts'
import { type Claim, claim, keep, LEASE_SECONDS, release, renew } from '../idempotency/keys.ts'
import { IdempotencyInProgress, IdempotencyMismatch } from '../idempotency/problems.ts'
import { sha256 } from '../lib/opaque.ts'
import { withHeaders } from '../lib/schema.ts'
import type { Vault } from '../lib/vault.ts'
import { clientAddress } from './client-address.ts'
import { listOf, mayAnswer, takeHeaders } from './on-route.ts'
import { becomeProblem } from './problems.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What a handler that changes something passes on, so that its change is committed together with its answer. */
    readonly db: Db
    keyedRun: KeyedRun | null
  }
  interface FastifyContextConfig {
    /**
     * Whether a request may carry an `Idempotency-Key`, which every POST that changes something has to allow. `caller`
     * tells who calls where that is not the user: where the operation itself ends, or is about, what shows who calls.
     */
    idempotency?: boolean | { caller(request: FastifyRequest): string | undefined }
  }
}

/** A request that runs under a key. */
interface KeyedRun {
  claim: Claim
  deferral: Deferral
  /** Says from time to time that it still runs. */
  renewal: NodeJS.Timeout
}

type Done = (error?: Error | null, payload?: unknown) => void

/** Often enough that two may fail. */
const RENEW_EVERY_MS = (LEASE_SECONDS * 1000) / 3

/** Most requests take milliseconds. */
const IN_PROGRESS_HEADERS = { 'retry-after': '1' }

/** They say "the same again, later", which could never succeed if they were kept. */
const TOO_MANY_REQUESTS = 429

const NO_BODY = sha256('')

const MESSAGE = 'must be 1 to 255 printable ASCII characters'

const HEADERS = {
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      pattern: '^[ -~]+$',
      description:
        'Any text that is new for each new request. Sent again with the same request within 24 hours, it gets the ' +
        'first answer again, and nothing is done twice.',
      'x-message': MESSAGE,
    }),
  ),
}

const REPLAYED = {
  'Idempotency-Replayed': '`true` if this is the first answer to the `Idempotency-Key` again.',
}

/** Does what is asked under one `Idempotency-Key` once, and gives the first answer again to whoever asks again. */
export default fp(
  async (app, { vault }: { vault: Vault }) => {
    app.decorateRequest('keyedRun', null)
    app.decorateRequest('db', {
      getter() {
        return this.keyedRun?.deferral.db ?? this.server.database.db
      },
    })

    app.addHook('onRoute', route => {
      if (!route.config?.idempotency) return
      document(route)
      // What is found wrong before uses up no key.
      route.preHandler = [begin, ...listOf(route.preHandler)]
      // Last, because it keeps what is sent.
      route.onSend = [...listOf(route.onSend), finish]
    })

    function begin(request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) {
      const key = request.headers['idempotency-key']
      if (key === undefined) return done()
      firstAnswer(request, String(key)).then(
        answer => (answer === undefined ? done() : replay(reply, answer)),
        done,
      )
    }

    /** Undefined for the first request under the key, which has yet to be answered. */
    async function firstAnswer(request: FastifyRequest, key: string): Promise<Answer | undefined> {
      const { db } = app.database
      const wanted = claimOf(request, key)
      const claimed = await claim(db, wanted)
      if (claimed === 'running') throw inProgress('The first request with this key is still running.')
      if (claimed === 'mismatch') {
        throw new IdempotencyMismatch(
          'The key was sent with another path or body, or by other rights, before.',
        )
      }
      if (claimed !== 'ours') return openAnswer(vault, claimed.answer)
      // Where that fails, the next time may succeed.
      const renewal = setInterval(() => renew(db, wanted).catch(() => {}), RENEW_EVERY_MS).unref()
      request.keyedRun = { claim: wanted, deferral: defer(db), renewal }
      return undefined
    }

    function finish(request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) {
      const run = request.keyedRun
      if (run === null) return done(null, payload)
      request.keyedRun = null
      conclude(run, request, reply, payload).then(sent => done(null, sent), done)
    }

    async function conclude(run: KeyedRun, request: FastifyRequest, reply: FastifyReply, payload: unknown) {
      try {
        if (reply.statusCode < 500) await commit(run, reply, payload)
        else await abandon(run, request)
        return payload
      } catch (error) {
        await abandon(run, request)
        // Error handlers have had their turn if there was a problem before, so this is done by hand.
        for (const name of KEPT_HEADERS) if (name !== 'cache-control') reply.removeHeader(name)
        return becomeProblem(error, request, reply)
      } finally {
        clearInterval(run.renewal)
      }
    }

    /** The effect and the answer, or neither, whenever the process is killed. */
    async function commit({ claim: own, deferral }: KeyedRun, reply: FastifyReply, payload: unknown) {
      const sealed =
        reply.statusCode === TOO_MANY_REQUESTS ? null : sealAnswer(vault, answerOf(reply, payload))
      await deferral.commit(async db => {
        const held = sealed === null ? await release(db, own) : await keep(db, own, sealed)
        if (!held) throw inProgress('The request took so long that another one has taken its place.')
      })
    }

    /** Nothing has been done, and the key is free. */
    async function abandon({ claim: own, deferral }: KeyedRun, request: FastifyRequest) {
      await deferral.rollBack()
      await release(app.database.db, own).catch(error => {
        request.log.warn({ err: error }, 'an idempotency key is not free until its lease is over')
      })
    }
  },
  { name: 'idempotency', dependencies: ['access', 'input'] },
)

const inProgress = (detail: string) => new IdempotencyInProgress(detail, { headers: IN_PROGRESS_HEADERS })

function claimOf(request: FastifyRequest, key: string): Claim {
  const { method, url, bodyDigest } = request
  const { caller, rights } = callerOf(request)
  return {
    id: sha256(`${caller}\0${key}`),
    fingerprint: sha256(Buffer.concat([Buffer.from(`${method} ${url}\0${rights}\0`), bodyDigest ?? NO_BODY])),
    holder: randomUUID(),
  }
}

/** Who calls, and as what: an administrator's answer is not for an API key of his, nor for himself when he is none. */
function callerOf(request: FastifyRequest): { caller: string; rights: string } {
  const { user, routeOptions } = request
  const { idempotency } = routeOptions.config
  const credential = typeof idempotency === 'object' ? idempotency.caller(request) : undefined
  if (credential !== undefined) return { caller: `credential ${credential}`, rights: '' }
  if (user === null) return { caller: `address ${clientAddress(request)}`, rights: '' }
  return { caller: `user ${user.id}`, rights: `${user.role} ${user.api_key_id ?? 'session'}` }
}

function answerOf(reply: FastifyReply, payload: unknown): Answer {
  const headers: Answer['headers'] = {}
  for (const name of KEPT_HEADERS) {
    const value = reply.getHeader(name)
    if (value !== undefined) headers[name] = Array.isArray(value) ? value : String(value)
  }
  return { status: reply.statusCode, headers, body: bytesOf(payload) }
}

function bytesOf(payload: unknown): Buffer | undefined {
  if (payload === undefined || payload === null) return undefined
  if (typeof payload === 'string') return Buffer.from(payload)
  if (payload instanceof Uint8Array) return Buffer.from(payload)
  throw new Error('An answer that is a stream cannot be kept.')
}

function replay(reply: FastifyReply, { status, headers, body }: Answer) {
  reply.code(status).headers(headers).header('idempotency-replayed', 'true').send(body)
}

function document(route: RouteOptions) {
  takeHeaders(route, HEADERS)
  mayAnswer(route, IdempotencyInProgress, IdempotencyMismatch)
  route.schema = { ...route.schema, response: replayable(route.schema?.response) }
}

function replayable(response: FastifySchema['response']) {
  const entries = Object.entries(Object(response))
  return Object.fromEntries(
    entries.map(([status, one]) => [
      status,
      status.startsWith('2') ? withHeaders(Object(one), REPLAYED) : one,
    ]),
  )
}
