import { Type } from '@sinclair/typebox'
import type { JobError } from '../../jobs/leases.ts'
import { JOB_STATES } from '../../jobs/queries.ts'
import { KeysetPagination, keysetParameters } from '../../lib/keyset.ts'
import { component, Id, Nullable, OneOf, ref, Timestamp } from '../../lib/schema.ts'

export const Job = component(
  'Job',
  Type.Object(
    {
      id: Id,
      name: Type.String({ description: 'What is to be done; also the name of its queue.' }),
      state: OneOf([...JOB_STATES], {
        description:
          '`created`: not yet begun. `retry`: waits for another try. `failed`: the last try failed.',
      }),
      priority: Type.Integer(),
      attempts: Type.Integer({ minimum: 0, description: 'How often it was begun.' }),
      key: Nullable(Type.String(), { description: 'While it waits, others with this key are not added.' }),
      payload: Type.Record(Type.String(), Type.Unknown()),
      request_id: Nullable(Type.String(), { description: '`X-Request-Id` of the request that led to it.' }),
      error: Type.Unsafe<JobError | null>({
        type: ['object', 'null'],
        properties: { type: { type: 'string' }, message: { type: 'string' }, code: {} },
        required: ['type', 'message'],
        additionalProperties: false,
        description: 'Why the last try failed.',
      }),
      progress: Type.Unsafe<{ done: number; total: number } | null>({
        type: ['object', 'null'],
        properties: { done: { type: 'number' }, total: { type: 'number' } },
        required: ['done', 'total'],
        additionalProperties: false,
        description: 'How far it is, of a running job that tells.',
      }),
      created_at: Timestamp,
      start_after: Timestamp,
      started_at: Nullable(Timestamp),
      completed_at: Nullable(Timestamp),
    },
    { description: 'A piece of background work.' },
  ),
)

const Queue = component(
  'JobQueue',
  Type.Object({
    name: Type.String(),
    summary: Nullable(Type.String(), { description: 'What its jobs do; null if this release has none.' }),
    counts: Type.Object(Object.fromEntries(JOB_STATES.map(state => [state, Type.Integer({ minimum: 0 })]))),
  }),
)

export const JobList = component(
  'JobList',
  Type.Object({
    queues: Type.Array(ref(Queue)),
    data: Type.Array(ref(Job)),
    pagination: ref(KeysetPagination),
  }),
)

export const JobListParameters = Type.Object({
  state: OneOf([...JOB_STATES], { default: 'failed', description: 'Which jobs `data` lists.' }),
  name: Type.Optional(Type.String({ maxLength: 100, description: 'Only jobs of this name.' })),
  ...keysetParameters,
})

export const JobParameters = Type.Object({ id: Id })
