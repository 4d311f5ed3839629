import { isAdmin, type Principal } from '../../lib/access.ts'
import { Forbidden } from '../../lib/problems.ts'

export const READ = { scope: 'items:read' } as const
export const WRITE = { scope: 'items:write' } as const

/** Whose an item must be for this caller: his own, and null for an administrator, to whom all are the same. */
export const ownerFor = (user: Principal): string | null => (isAdmin(user) ? null : user.id)

/** Whose items are listed: his own, unless an administrator asks for somebody else's. */
export function ownerAsked(user: Principal, user_id: string | undefined): string {
  if (user_id === undefined || user_id.toLowerCase() === user.id) return user.id
  if (!isAdmin(user)) throw new Forbidden("Only an administrator may see somebody else's items.")
  return user_id
}
