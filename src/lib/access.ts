export const ROLES = ['user', 'editor', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** Who may call a route. It stands in the route's `config`, next to its schema, and is the only place that decides. */
export type Access = 'public' | { roles: readonly Role[] }

export const ADMINS = { roles: ['admin'] } as const satisfies Access

/** Whom a token stands for. */
export interface Principal {
  id: string
  role: Role
}
