export const ROLES = ['user', 'editor', 'admin'] as const
export type Role = (typeof ROLES)[number]

export const TIERS = ['standard', 'premium'] as const
export type Tier = (typeof TIERS)[number]

/** What an API key may be good for. */
export const SCOPES = [
  'profile:read',
  'items:read',
  'items:write',
  'posts:write',
  'webhooks:read',
  'webhooks:write',
  'events:read',
] as const
export type Scope = (typeof SCOPES)[number]

/**
 * Who may call a route. It stands in the route's `config`, next to its schema, and is the only place that decides.
 * `public`: anybody, and nobody is asked who they are. `optional`: anybody, and whoever says who they are is believed
 * only with a good token.
 */
export type Access = 'public' | 'optional' | AccessRules

export interface AccessRules {
  /** Users with one of these roles; without it, with any. */
  roles?: readonly Role[]
  /** Besides these roles, the user whose id is the `id` in the path. */
  self?: true
  /** API keys with this scope may call too; without it, none may. */
  scope?: Scope
  /** Also with an e-mail that is not verified, where REQUIRE_VERIFIED_EMAIL is set; `self`: as the user in the path. */
  unverified?: true | 'self'
}

export const ADMINS = { roles: ['admin'] } as const satisfies Access

/** Whom a token or a key stands for. */
export interface Principal {
  id: string
  role: Role
  tier: Tier
  email_verified: boolean
  /** The session that the access token belongs to; null for an API key. */
  session_id: string | null
  api_key_id: string | null
  /** What the API key may do; null for a session, which may do all that its user may. */
  scopes: readonly Scope[] | null
}

/** Signed in, not by an API key. */
export type SignedInUser = Principal & { session_id: string }

/** No API key is one, whosever it is. */
export const isAdmin = (user: Principal | null): boolean => user?.role === 'admin'
