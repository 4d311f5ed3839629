import type { Principal, Role } from '../../lib/access.ts'

export const WRITE = { scope: 'posts:write' } as const

const OF_ANYBODY: readonly Role[] = ['editor', 'admin']

/** Whose a post must be for this caller to change it: his own, and null for those who look after all of them. */
export const authorFor = (user: Principal): string | null => (OF_ANYBODY.includes(user.role) ? null : user.id)
