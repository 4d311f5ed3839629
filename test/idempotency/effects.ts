import { setTimeout as wait } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import type { FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import type { App } from '../../src/app.ts'
import { allRows, firstRow } from '../../src/db/rows.ts'
import { afterCommit, inTransaction, writeInOneStatement } from '../../src/db/transaction.ts'
import { Conflict } from '../../src/lib/problems.ts'
import { build, probe } from '../helper.ts'

/** What a request of these tests is to do, one after another. */
export interface Orders {
  effects?: string[]
  /** How it ends. */
  end?: 'well' | 'conflict' | 'crash' | 'bytes' | 'empty'
  /** Before it does anything, or when it has. */
  wait_first_ms?: number
  wait_ms?: number
  one_statement?: boolean
}

const Body = Type.Unsafe<Orders>({
  type: 'object',
  additionalProperties: false,
  properties: {
    effects: { type: 'array', items: { type: 'string' } },
    end: { type: 'string' },
    wait_first_ms: { type: 'integer' },
    wait_ms: { type: 'integer' },
    one_statement: { type: 'boolean' },
  },
})

/** The service with routes that have effects that can be counted. `committed` holds what was called after a commit. */
export async function withEffects(t: Test) {
  const committed: string[] = []
  const { config, ...route } = probe('effect', { body: Body })
  const options = { ...route, config: { ...config, idempotency: true } }
  const app = await build(t, {
    routes: async child => {
      child.post('/effect', options, (request, reply) =>
        obey(request, reply, request.body as Orders, committed),
      )
      const other = { ...options, schema: { ...options.schema, operationId: 'otherEffect' } }
      child.post('/other', other, (request, reply) => obey(request, reply, request.body as Orders, committed))
    },
  })
  await app.database.db.execute(sql`create table if not exists effects (name text not null)`)
  return { app, committed }
}

async function obey(
  { db }: FastifyRequest,
  reply: {
    code(status: number): { send(payload?: unknown): unknown }
    type(type: string): { send(payload: unknown): unknown }
  },
  { effects = [], end = 'well', wait_first_ms = 0, wait_ms = 0, one_statement = false }: Orders,
  committed: string[],
) {
  if (wait_first_ms > 0) await wait(wait_first_ms)
  for (const name of effects) {
    if (one_statement) await writeInOneStatement(db, 'insert into effects values ($1)', [name])
    else {
      await inTransaction(db, async tx => {
        await tx.execute(sql`insert into effects values (${name})`)
        afterCommit(tx, () => committed.push(name))
      })
    }
  }
  if (wait_ms > 0) await wait(wait_ms)
  if (end === 'conflict') throw new Conflict('As was ordered.')
  if (end === 'crash') throw new Error('As was ordered.')
  if (end === 'bytes') return reply.type('application/octet-stream').send(Buffer.from([0xff, 0, 0xfe]))
  if (end === 'empty') return reply.code(204).send()
  const seen = await allRows<{ name: string }>(
    db,
    sql`select name from effects where name in ${effects.length ? effects : ['']}`,
  )
  return { seen: seen.length, at: process.hrtime.bigint().toString() }
}

export async function countEffects({ database: { db } }: App, name: string): Promise<number> {
  const row = await firstRow<{ count: number }>(
    db,
    sql`select count(*)::int as count from effects where name = ${name}`,
  )
  return row?.count ?? 0
}

export const keys = ({ database: { db } }: App) =>
  allRows<{ answer: string | null; held: boolean }>(
    db,
    sql`select answer, held_until > now() as held from idempotency_keys`,
  )

interface Sent {
  key?: string
  url?: string
  headers?: Record<string, string>
}

export const ask = (app: App, payload: Orders, { key, url = '/effect', headers = {} }: Sent = {}) =>
  app.inject({
    method: 'POST',
    url,
    payload,
    headers: { ...(key !== undefined && { 'idempotency-key': key }), ...headers },
  })

type Response = Awaited<ReturnType<typeof ask>>

/** That the second is the first once more, byte for byte. */
export function isReplay(t: Test, first: Response, second: Response) {
  t.equal(first.headers['idempotency-replayed'], undefined)
  t.equal(second.headers['idempotency-replayed'], 'true')
  t.equal(second.statusCode, first.statusCode)
  t.strictSame(second.rawPayload, first.rawPayload)
  t.not(second.headers['x-request-id'], first.headers['x-request-id'])
  const { 'x-request-id': _id, date: _date, ...headers } = first.headers
  const { 'x-request-id': _id2, date: _date2, 'idempotency-replayed': _replayed, ...again } = second.headers
  t.strictSame(again, headers)
}
