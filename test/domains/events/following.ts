import { once } from 'node:events'
import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Type } from '@sinclair/typebox'
import type { Test } from 'tap'
import { inTransaction } from '../../../src/db/transaction.ts'
import type { Db } from '../../../src/db/types.ts'
import { defineEvent } from '../../../src/events/event-type.ts'
import { record } from '../../../src/events/record.ts'
import { type Actor, systemActor } from '../../../src/lib/actor.ts'

export const noted = defineEvent(
  'test_note.taken',
  Type.Object({ number: Type.Integer(), text: Type.String() }),
)

/** Something that happens to a user. */
export const note = (
  db: Db,
  owner_id: string | null,
  number: number,
  { actor = systemActor(), text = '' }: { actor?: Actor; text?: string } = {},
) =>
  inTransaction(db, tx => record(tx, actor, noted, { subject_id: null, owner_id, after: { number, text } }))

/** What stands between two blank lines. */
export interface Block {
  raw: string
  event?: string
  id?: string
  data?: string
  retry?: string
}

export function parseBlock(raw: string): Block {
  const fields = raw.split('\n').filter(line => !line.startsWith(':'))
  return { raw, ...Object.fromEntries(fields.map(line => line.split(/: (.*)/s).slice(0, 2))) }
}

/** Cuts a stream of text into blocks, as a browser would. */
export function createParser(heard: (block: Block) => void) {
  let rest = ''
  return (text: string) => {
    const parts = (rest + text).split('\n\n')
    rest = parts.pop() ?? ''
    for (const part of parts) heard(parseBlock(part))
  }
}

export interface Following {
  status: number
  headers: IncomingHttpHeaders
  response: IncomingMessage
  blocks: Block[]
  /** The numbers of the notes that have come. */
  numbers(): number[]
  /** What a client would send as Last-Event-ID. */
  lastId(): string
  /** Resolves as soon as this is so. */
  when(isSo: () => boolean): Promise<void>
  /** Resolves when the note with this number has come. */
  heard(number: number): Promise<void>
  /** Resolves with whether the answer ended properly. */
  ended: Promise<boolean>
  /** Resolves when the client is gone. */
  close(): Promise<void>
}

export const numberOf = ({ data }: Block): number => JSON.parse(data ?? '').changes.number[1]

/** Opens a stream over a real socket, and goes on reading it. */
export async function follow(
  t: Pick<Test, 'teardown'>,
  url: string,
  headers: Record<string, string>,
  query = '',
): Promise<Following> {
  const request = get(`${url}/api/v1/events${query}`, { headers, agent: false })
  // A server that goes away is told by `ended`.
  request.on('error', () => {})
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const blocks: Block[] = []
  const waiting = new Set<() => void>()
  const parse = createParser(block => blocks.push(block))
  response.setEncoding('utf8')
  response.on('error', () => {})
  response.on('data', text => {
    parse(text)
    for (const look of waiting) look()
  })
  const ended = new Promise<boolean>(resolve => response.once('close', () => resolve(response.complete)))
  t.teardown(() => request.destroy())

  const when = (isSo: () => boolean) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!isSo()) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
      ended.then(() => reject(new Error(`The stream has ended after ${blocks.length} blocks.`)))
    })
  const numbers = () => blocks.filter(({ event }) => event === noted.name).map(numberOf)
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    response,
    blocks,
    numbers,
    lastId: () => blocks.findLast(({ id }) => id !== undefined)?.id ?? '',
    when,
    heard: number => when(() => numbers().includes(number)),
    ended,
    async close() {
      request.destroy()
      await ended
    },
  }
}

/** Opens a stream and resolves when it has told where it is: what happens from then on is owed. */
export async function opened(...call: Parameters<typeof follow>): Promise<Following> {
  const following = await follow(...call)
  await following.when(() => following.blocks.length > 0)
  return following
}
