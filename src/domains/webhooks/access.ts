import { isAdmin, type Principal } from '../../lib/access.ts'
import { Forbidden } from '../../lib/problems.ts'

export const READ = { scope: 'webhooks:read' } as const
export const WRITE = { scope: 'webhooks:write' } as const

/** Whose webhooks, and which of them: by an API key nobody reaches those that hear of everybody, or it would be an administrator's. */
export interface Reach {
  user_id: string
  own_only: boolean
}

/** What operators reach. */
export const ANYBODYS = { user_id: null, own_only: false } as const

export const reachOf = ({ id, api_key_id }: Principal): Reach => ({
  user_id: id,
  own_only: api_key_id !== null,
})

export function demandScope(user: Principal, scope: 'own' | 'all' | undefined) {
  if (scope === 'all' && !isAdmin(user)) {
    throw new Forbidden('Only an administrator may hear of what is not their own, and no API key is one.')
  }
}
