import type { FastifyContextConfig, FastifySchema } from 'fastify'
import { problemDefinitions } from '../lib/problem.ts'
import { NO_FIELDS } from './input.ts'
import { callersOf, securityOf } from './openapi-access.ts'
import { type OpenApiDocument, operationsOf } from './openapi-problems.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the document says of an answer, where the schema that makes it says less. */
    documented?: { response: Record<number, unknown> }
  }
}

/** A route's schema as the document shows it. */
export function documentedSchema(
  { body, response, ...schema }: FastifySchema,
  { access, documented, limits, upload }: FastifyContextConfig,
): FastifySchema {
  const texts = [schema.description, callersOf(access), ownLimits(limits)]
  const description = texts.filter(text => text !== undefined).join('\n\n')
  return {
    ...schema,
    response: { ...Object(response), ...documented?.response },
    // That nothing may be sent is no body to document.
    ...(body !== NO_FIELDS && { body }),
    ...(upload && { body: { content: filesOf(upload.types) } }),
    ...(description !== '' && { description }),
    security: schema.security ?? securityOf(access),
  }
}

/** What a route limits besides, or instead of, what the tier does. */
function ownLimits(limits: FastifyContextConfig['limits']): string | undefined {
  if (limits === undefined || limits === 'none') return undefined
  const own = limits.flatMap(limit => (limit === 'tier' ? [] : [`\`${limit.name}\` ${limit.rates}`]))
  const instead = limits.includes('tier') ? '' : ', instead of the quota of the tier'
  return `Limited to ${own.join(', ')}${instead}.`
}

const filesOf = (types: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(types).map(([type, description]) => [type, { schema: { type: 'string', description } }]),
  )

/** Corrects what the plugin takes for a must: every body, and every parameter that has a default. */
export function relaxRequired(document: OpenApiDocument, bodyOptional: ReadonlySet<string>) {
  for (const { operationId = '', requestBody, parameters = [] } of operationsOf(document)) {
    if (requestBody && bodyOptional.has(operationId)) requestBody.required = false
    for (const parameter of parameters) {
      if (parameter.schema?.default !== undefined) parameter.required = false
    }
  }
}

/** Lists the codes that there are; only here, because a schema is made before all problems are defined. */
export function listProblemCodes({ components }: OpenApiDocument) {
  const { code } = components?.schemas?.Problem?.properties ?? {}
  const codes = problemDefinitions().map(definition => definition.code)
  if (code) code.enum = codes.sort()
}
