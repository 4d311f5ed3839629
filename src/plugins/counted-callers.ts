import type { FastifyRequest } from 'fastify'
import type { Principal } from '../lib/access.ts'
import { addressKey } from '../rate-limits/address-key.ts'
import type { CallerTier } from '../rate-limits/policies.ts'
import { clientAddress } from './client-address.ts'

/** Who is counted, and by which quota. */
export interface Caller {
  tier: CallerTier
  counted_by: 'user' | 'api_key' | 'address' | 'session'
  id: string
}

/** Of whom we know that it is they, or that it is nobody: what callers may be told. */
export type ShownCaller = Caller & { counted_by: Exclude<Caller['counted_by'], 'session'> }

export const knownAs = ({ tier, id, api_key_id }: Principal): ShownCaller =>
  api_key_id === null ? { tier, counted_by: 'user', id } : { tier, counted_by: 'api_key', id: api_key_id }

export const someoneAt = (request: FastifyRequest): ShownCaller => ({
  tier: 'anonymous',
  counted_by: 'address',
  id: addressKey(clientAddress(request)),
})

/** What tells one caller's counters from another's. */
export const subjectOf = ({ counted_by, id }: Caller): string => `${counted_by}:${id}`
