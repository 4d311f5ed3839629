import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Access } from '../lib/access.ts'
import type { ProblemConstructor } from '../lib/problem.ts'
import { secretFields } from './secret-answers.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
    /** Problems of this route besides those that follow from its schemas and access. */
    problems?: readonly ProblemConstructor[]
  }
  interface FastifySchema {
    hide?: boolean
    operationId?: string
    summary?: string
    description?: string
    tags?: readonly string[]
    security?: readonly Record<string, readonly string[]>[]
  }
}

/** Refuses to boot with a route that does not say what it is, who may call it and what it answers. */
export default fp(
  async app => {
    const routes: RouteOptions[] = []
    app.addHook('onRoute', route => {
      routes.push(route)
    })
    app.addHook('onReady', async () => {
      const faults = [...routes.flatMap(route => routeFaults(app, route)), ...repeatedNames(routes)]
      if (faults.length > 0) throw new Error(`Routes that may not boot:\n${faults.join('\n')}`)
    })
  },
  { name: 'route-rules' },
)

function routeFaults(app: FastifyInstance, route: RouteOptions): string[] {
  const { schema, config } = route
  const faults: string[] = []
  if (config?.access === undefined) faults.push('config.access')
  // Whether it is safe to send again is never left open.
  if (route.method === 'POST' && route.url.startsWith('/api/v1/') && config?.idempotency === undefined) {
    faults.push('config.idempotency')
  }
  // Compressed or not is never left open either, where it could tell what others must not know.
  if (config?.secret === undefined) {
    const fields = secretFields(app, schema)
    if (fields.length > 0) faults.push(`config.secret, for ${fields.join(', ')}`)
  }
  // Hidden routes belong to a library and are not in the OpenAPI document, but who may call them is still said.
  if (schema?.hide !== true) {
    if (!schema?.operationId) faults.push('schema.operationId')
    if (!schema?.summary) faults.push('schema.summary')
    if (!schema?.tags?.length) faults.push('schema.tags')
    if (!schema?.response) faults.push('schema.response')
    if (config?.versioned === undefined && tellsVersion(app, schema)) faults.push('config.versioned')
    faults.push(...unboundedNumbers(schema))
    if (schema?.body !== undefined && !isClosed(app, schema.body)) {
      faults.push('schema.body with additionalProperties: false')
    }
  }
  return faults.map(fault => `${route.method} ${route.url} lacks ${fault}`)
}

/** Numbers in a URL are coerced from text, and `1e999` is an integer like any other unless a maximum says otherwise. */
function unboundedNumbers({ params, querystring }: FastifySchema = {}): string[] {
  return [params, querystring].flatMap(part => {
    const { properties = {} } = (part ?? {}) as {
      properties?: Record<string, { type?: string; maximum?: number }>
    }
    return Object.entries(properties)
      .filter(([, { type, maximum }]) => (type === 'integer' || type === 'number') && maximum === undefined)
      .map(([name]) => `a maximum for ${name}`)
  })
}

/** Whether what it answers is a resource that has versions. */
function tellsVersion(app: FastifyInstance, schema: FastifySchema | undefined): boolean {
  return Object.values(Object(schema?.response)).some(response => {
    const { $ref } = response as { $ref?: string }
    const { id, version } = Object($ref && Object(app.getSchema(componentIn($ref))).properties)
    return id !== undefined && version !== undefined
  })
}

/** Whether unknown fields of a JSON body are refused rather than dropped or kept. */
function isClosed(app: FastifyInstance, body: unknown): boolean {
  const { $ref, additionalProperties } = body as { $ref?: string; additionalProperties?: unknown }
  return $ref === undefined ? additionalProperties === false : isClosed(app, app.getSchema(componentIn($ref)))
}

const componentIn = ($ref: string) => $ref.replace(/#$/, '')

function repeatedNames(routes: RouteOptions[]): string[] {
  const seen = new Set<string>()
  return routes.flatMap(({ method, schema }) => {
    const name = schema?.operationId
    // Fastify adds a HEAD route to each GET, with the same schema.
    if (name === undefined || method === 'HEAD') return []
    if (seen.has(name)) return [`operationId ${name} is used twice`]
    seen.add(name)
    return []
  })
}
