import { countJobs, type JobRow, listJobs, outcomeOf } from '../../jobs/queries.ts'
import { ADMINS } from '../../lib/access.ts'
import { keysetPage, pageLinks, pageResponse, readCursor } from '../../lib/keyset.ts'
import { Conflict, InvalidCursor } from '../../lib/problems.ts'
import { isUuid, nothing, ref } from '../../lib/schema.ts'
import type { Domain } from '../domain.ts'
import { Job, JobList, JobListParameters, JobParameters } from './schemas.ts'
import { remove, retry } from './service.ts'

const tags = ['jobs']

/** The `key` of a job says which others it stands for. */
const NO_SECRET = false

export default {
  prefix: '/api/v1/admin/jobs',
  tag: { name: 'jobs', description: 'Background work, for those who run the service.' },
  routes: async app => {
    const { db } = app.database
    const summaries = new Map(app.jobs.map(({ name, summary }) => [name, summary]))

    app.get(
      '',
      {
        config: { access: ADMINS, secret: NO_SECRET, problems: [InvalidCursor] },
        schema: {
          operationId: 'listJobs',
          summary: 'Count jobs by queue and state, and list the failed ones',
          description: 'Completed jobs are counted for an hour; failed ones stay for 14 days.',
          tags,
          querystring: JobListParameters,
          response: { 200: pageResponse(JobList) },
        },
      },
      async ({ query, url }, reply) => {
        const { cursor, per_page, name, state } = query
        const before = readCursor('jobs', cursor, isUuid)
        const [counts, jobs] = await Promise.all([
          countJobs(db),
          listJobs(db, { name, state, before }, per_page + 1),
        ])
        const queues = counts.map(queue => ({ ...queue, summary: summaries.get(queue.name) ?? null }))
        const page = keysetPage('jobs', jobs.map(publicJob), per_page, ({ id }) => id)
        return reply.header('link', pageLinks(url, page.pagination)).send({ queues, ...page })
      },
    )

    app.post(
      '/:id/retry',
      {
        config: { access: ADMINS, secret: NO_SECRET, idempotency: true, problems: [Conflict] },
        schema: {
          operationId: 'retryJob',
          summary: 'Run a failed job again, at once and with all its tries',
          tags,
          params: JobParameters,
          response: { 200: ref(Job) },
        },
      },
      async ({ db, params, actor }) => publicJob(await retry(db, actor, params.id)),
    )

    app.delete(
      '/:id',
      {
        config: { access: ADMINS, problems: [Conflict] },
        schema: {
          operationId: 'deleteJob',
          summary: 'Delete a job that does not run',
          tags,
          params: JobParameters,
          response: { 204: nothing('It is gone.') },
        },
      },
      async ({ params, actor }, reply) => {
        await remove(db, actor, params.id)
        return reply.code(204).send()
      },
    )
  },
} satisfies Domain

function publicJob(row: JobRow) {
  const { output: _internal, created_at, start_after, started_at, completed_at, ...job } = row
  return {
    ...job,
    ...outcomeOf(row),
    created_at: new Date(created_at),
    start_after: new Date(start_after),
    started_at: started_at === null ? null : new Date(started_at),
    completed_at: completed_at === null ? null : new Date(completed_at),
  }
}
