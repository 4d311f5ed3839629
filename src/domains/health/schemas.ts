import { Type } from '@sinclair/typebox'
import { component, OneOf, ref } from '../../lib/schema.ts'

export const Health = component(
  'Health',
  Type.Object({
    status: OneOf(['healthy']),
    version: Type.String(),
    uptime_seconds: Type.Number({ minimum: 0 }),
  }),
)

export const Liveness = component('Liveness', Type.Object({ status: OneOf(['alive']) }))

export const Check = component(
  'Check',
  Type.Object(
    {
      status: OneOf(['ok', 'failed'], { description: 'Whether it answered in time and as it should.' }),
      latency_ms: Type.Number({ minimum: 0 }),
      required: Type.Boolean({ description: 'Whether the service is not ready without it.' }),
    },
    { description: 'One thing that the service depends on, measured at most a second ago.' },
  ),
)

const connection = OneOf(['connected', 'disconnected'])

const readinessFields = {
  phase: OneOf(['starting', 'migrating', 'serving', 'replaced', 'draining']),
  database: connection,
  checks: Type.Record(Type.String(), ref(Check), {
    description:
      '`load` fails when requests have been refused for five to ten seconds without a pause; its latency is how long one waits now for its turn.',
  }),
}

export const Readiness = component('Readiness', Type.Object({ status: OneOf(['ready']), ...readinessFields }))

export const NotReady = component(
  'NotReady',
  Type.Object({ status: OneOf(['not ready']), ...readinessFields }),
)
