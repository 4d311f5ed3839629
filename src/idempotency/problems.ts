import { defineProblem } from '../lib/problem.ts'

export const IdempotencyInProgress = defineProblem({
  code: 'idempotency_in_progress',
  status: 409,
  title: 'Still in progress',
  explanation: 'A request with this `Idempotency-Key` is still running, or was when its server died.',
  remedy:
    'Send the same request again after the seconds in `Retry-After`; after a server died, it takes half a minute.',
})

export const IdempotencyMismatch = defineProblem({
  code: 'idempotency_mismatch',
  status: 422,
  title: 'Idempotency key used before',
  explanation:
    'The `Idempotency-Key` was sent before with another path or body, and cannot stand for two requests.',
  remedy: 'Use a new key for each new request, and the old one only to send the very same request again.',
})
