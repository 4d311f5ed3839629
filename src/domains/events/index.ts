import type { Readable } from 'node:stream'
import { Type } from '@sinclair/typebox'
import type { Logger } from 'pino'
import { Event } from '../../events/schemas.ts'
import { patternFaults } from '../../events/type-patterns.ts'
import { isAdmin } from '../../lib/access.ts'
import { isEnding } from '../../lib/lifecycle.ts'
import { Forbidden, faultyFields } from '../../lib/problems.ts'
import { ref, withHeaders } from '../../lib/schema.ts'
import type { Domain } from '../domain.ts'
import { createHub } from './hub.ts'
import { StreamHeaders, StreamParameters } from './schemas.ts'

export default {
  prefix: '/api/v1/events',
  tag: { name: 'events', description: 'What happens, as it happens.' },
  routes: async app => {
    const hub = createHub({
      db: app.database.db,
      logger: app.log as Logger,
      per_user: app.accounts.config.EVENT_STREAMS_PER_USER,
      isEnding: () => isEnding(app.lifecycle.phase),
    })
    app.addHook('preClose', () => hub.end())

    app.get(
      '',
      {
        // It would open a stream for nothing.
        exposeHeadRoute: false,
        config: { access: { scope: 'events:read' } },
        schema: {
          operationId: 'streamEvents',
          summary: 'Follow events as they happen',
          description: DESCRIPTION,
          tags: ['events'],
          querystring: StreamParameters,
          headers: StreamHeaders,
          response: {
            200: withHeaders(
              {
                description: 'The stream. Its data are events; it does not end by itself.',
                content: { 'text/event-stream': { schema: Type.Unsafe<Readable>(ref(Event)) } },
              },
              {
                'Cache-Control': 'Nobody on the way may keep it, or change how it is encoded.',
                'X-Accel-Buffering': '`no`: proxies are to hand on at once what arrives.',
              },
            ),
          },
        },
      },
      async (request, reply) => {
        const { user, query, headers, signal } = request
        const isForAll = query.scope === 'all'
        if (isForAll && !isAdmin(user))
          throw new Forbidden('Only administrators may follow everybody’s events.')
        const stream = await hub.open({
          user_id: user.id,
          owner_id: isForAll ? null : user.id,
          types: knownTypes(query.types),
          last_event_id: headers['last-event-id'],
          isAdmitted: async () => {
            const found = await request.admitAgain()
            return found !== undefined && (!isForAll || isAdmin(found))
          },
        })
        // Node does not tell an answer that waits behind another one on its connection that the connection is gone.
        signal.addEventListener('abort', () => stream.destroy())
        if (signal.aborted) stream.destroy()
        return (
          reply
            .type('text/event-stream; charset=utf-8')
            // Proxies gather what they compress or buffer, and nothing would arrive.
            .header('cache-control', 'private, no-store, no-transform')
            .header('x-accel-buffering', 'no')
            .send(stream)
        )
      },
    )
  },
} satisfies Domain

function knownTypes(text: string | undefined): string[] {
  const types = text?.split(',') ?? []
  const faults = types.flatMap(type => patternFaults(type, { in: 'query', pointer: '/types' }))
  if (faults.length > 0) throw faultyFields(faults)
  return types
}

const DESCRIPTION = `
Server-sent events: each has the type of the event as \`event\`, its id as \`id\`, and the event itself, as JSON in one
line, as \`data\`. They come in the order in which they became final, each once, within a second of what they tell.

**Resuming.** Send the last \`id\` that was received as \`Last-Event-ID\`, and the stream goes on behind it, on whichever
server: nothing is lost and nothing comes twice. Right at the beginning, and every 15 seconds, the stream also sends an \`id\`
alone, with a comment, but without data: it is a place between events, good for \`Last-Event-ID\` like any other, and keeps
the connection alive. Without \`Last-Event-ID\`, or with an empty one, the stream begins now. Of an event that is not kept
any more, it begins about a day before the event's time, so that some may come twice. \`retry\` says after how many
milliseconds to come back.

**Access.** The stream ends when the access token expires, or its session or key is revoked. \`EventSource\` of browsers
cannot send a token; \`fetch\`, and what is built on it, can.

**Limits.** A user may have a few streams open at a time (10, unless configured otherwise): 429 beyond. Each process of
the service counts its own, so that there may be room at another one. Who does not take
what is sent, for half a minute, is cut off, and can resume.`.trim()
