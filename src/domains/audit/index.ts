import type { Readable } from 'node:stream'
import { Type } from '@sinclair/typebox'
import { Event } from '../../events/schemas.ts'
import { ADMINS } from '../../lib/access.ts'
import { keysetPage, pageLinks, pageResponse, readCursor } from '../../lib/keyset.ts'
import { InvalidCursor } from '../../lib/problems.ts'
import { isUuid, ref, savedAs, withHeaders } from '../../lib/schema.ts'
import type { Domain } from '../domain.ts'
import { exportEvents } from './export.ts'
import { listEvents } from './queries.ts'
import {
  AuditVerification,
  EventFilter,
  EventListParameters,
  EventPage,
  VerifyParameters,
} from './schemas.ts'
import { verifyAudit } from './verify.ts'

/** Less than clients and proxies wait. */
const VERIFY_MS = 10_000

const tags = ['audit']

export default {
  prefix: '/api/v1/audit',
  tag: { name: 'audit', description: 'What was changed, by whom, and proof that the record is whole.' },
  routes: async app => {
    const { db } = app.database

    app.get(
      '',
      {
        config: { access: ADMINS, problems: [InvalidCursor] },
        schema: {
          operationId: 'listEvents',
          summary: 'List events, newest first',
          tags,
          querystring: EventListParameters,
          response: { 200: pageResponse(EventPage) },
        },
      },
      async ({ query, url }, reply) => {
        const { cursor, per_page, ...filter } = query
        const before = readCursor('audit', cursor, isUuid)
        const events = await listEvents(db, filter, { before, limit: per_page + 1 })
        const page = keysetPage('audit', events, per_page, ({ id }) => id)
        return reply.header('link', pageLinks(url, page.pagination)).send(page)
      },
    )

    app.get(
      '/export',
      {
        // HEAD would read the first events for nothing.
        exposeHeadRoute: false,
        config: { access: ADMINS },
        schema: {
          operationId: 'exportEvents',
          summary: 'Export events as lines of JSON, newest first',
          description: 'An answer that breaks off before its end is not complete: the connection is cut.',
          tags,
          querystring: EventFilter,
          response: {
            200: withHeaders(
              {
                description: 'An event on each line.',
                content: { 'application/x-ndjson': { schema: Type.Unsafe<Readable>(ref(Event)) } },
              },
              savedAs,
            ),
          },
        },
      },
      async ({ query }, reply) =>
        reply
          .type('application/x-ndjson')
          .header('content-disposition', 'attachment; filename="events.ndjson"')
          .send(await exportEvents(db, query)),
    )

    app.get(
      '/verify',
      {
        config: { access: ADMINS },
        schema: {
          operationId: 'verifyAudit',
          summary: 'Compare the events with the seals that cover them',
          description:
            'Names the first event that was altered, removed or inserted behind the back of the service. ' +
            'Takes at most some ten seconds; of a long history, ask for the rest with `after_seal`.',
          tags,
          querystring: VerifyParameters,
          response: { 200: ref(AuditVerification) },
        },
      },
      ({ query }) => verifyAudit(db, { ...query, time_ms: VERIFY_MS }),
    )
  },
} satisfies Domain
