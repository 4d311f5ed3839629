import type { Access, Role } from '../lib/access.ts'

/** What a caller can show. */
export const securitySchemes = {
  accessToken: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'A short-lived access token.',
  },
  apiKey: {
    type: 'apiKey',
    in: 'header',
    name: 'X-API-Key',
    description:
      'A long-lived key, also taken as `Authorization: Bearer …`. It may call the operations that name one of its ' +
      'scopes, and no other that needs a caller.',
  },
  metricsToken: {
    type: 'http',
    scheme: 'bearer',
    description: 'What the operator configured as `METRICS_TOKEN`, which is nobody’s access token.',
  },
  refreshToken: { type: 'http', scheme: 'bearer', description: 'A refresh token.' },
  refreshCookie: {
    type: 'apiKey',
    in: 'cookie',
    name: '__Secure-plinth_refresh',
    description: 'A refresh token in its cookie; taken from pages of allowed origins only.',
  },
} as const

/** What a caller shows: nothing, an access token, or an API key where a scope says that one will do. */
export function securityOf(access: Access | undefined): Record<string, string[]>[] {
  if (access === undefined || access === 'public') return []
  if (access === 'optional') return [{}, { accessToken: [] }]
  const { scope } = access
  return [{ accessToken: [] }, ...(scope === undefined ? [] : [{ apiKey: [scope] }])]
}

const people: Record<Role, string> = { user: 'users', editor: 'editors', admin: 'administrators' }

/** Who may call, in sentences; undefined where there is nothing to say, because every user may. */
export function callersOf(access: Access | undefined): string | undefined {
  if (typeof access !== 'object') return undefined
  const { roles, self, scope } = access
  const callers = [...(self ? ['the user itself'] : []), ...(roles ?? []).map(role => people[role])]
  const sentences = [
    ...(callers.length > 0 ? [`For ${callers.join(' and ')}.`] : []),
    ...(scope === undefined ? [] : [`API keys need the scope \`${scope}\`.`]),
  ]
  return sentences.length > 0 ? sentences.join(' ') : undefined
}
