import type { FastifyInstance, FastifySchema } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * Whether its answers hold a secret: they are never compressed, because beside text that somebody else chooses, the
     * length tells whether both are alike (BREACH). `false` where a field only sounds like one.
     */
    secret?: boolean
  }
}

/** What fields that hold a secret are called here. A `code` is one of a problem, `keys` are public ones. */
const SECRET = /(?:^|_)(?:token|secret|password|key|recovery_codes|otpauth_uri|qr_svg)$/

/** Fields of a route's answers that sound like secrets. */
export function secretFields(app: FastifyInstance, schema: FastifySchema | undefined): string[] {
  const seen = new Set<string>()
  const found = new Set<string>()
  for (const response of Object.values(Object(schema?.response))) search(response)
  return [...found]

  function search(node: unknown) {
    if (typeof node !== 'object' || node === null) return
    const { $ref, properties, headers, ...rest } = node as Record<string, unknown>
    if (typeof $ref === 'string' && !seen.has($ref)) {
      seen.add($ref)
      search(app.getSchema($ref.replace(/#$/, '')))
    }
    if (headers !== undefined && Object.keys(Object(headers)).includes('Set-Cookie')) found.add('Set-Cookie')
    for (const [name, property] of Object.entries(Object(properties))) {
      if (SECRET.test(name)) found.add(name)
      search(property)
    }
    for (const part of Object.values(rest)) search(part)
  }
}
