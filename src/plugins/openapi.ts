import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { packageVersion } from '../lib/package.ts'
import type { ProblemConstructor } from '../lib/problem.ts'
import { securitySchemes } from './openapi-access.ts'
import { type Messages, webhooksOf } from './openapi-messages.ts'
import { documentedSchema, listProblemCodes, relaxRequired } from './openapi-operations.ts'
import { addProblems, type OpenApiDocument, possibleProblems } from './openapi-problems.ts'

const DESCRIPTION = `Accounts, authentication, owner-scoped resources, events and webhooks over HTTP.

Every answer that is not a success is \`application/problem+json\` (RFC 9457); \`code\` is what programs should look at,
and \`/problems/{code}\` explains it. Every answer carries \`X-Request-Id\`. A path that exists under another method is a
405 with \`Allow\`. Bodies are JSON in UTF-8, are never coerced, and may hold no unknown field; where an operation shows
no body, that is any field. Answers of 1 KiB or more are compressed as \`Accept-Encoding\` says (\`br\`, \`gzip\`), unless
they hold a secret; their \`ETag\` then ends with the name of the encoding.

Answers of operations that may be a 429, failures too, carry \`RateLimit-Policy\` and \`RateLimit\`. Whatever is anybody's own
is \`private, no-store\`; posts are \`public\` for ten seconds to who shows no credential, and \`private, no-cache\` to who does.`

/** The page's own scripts and nothing else; it sets styles inline. */
const PAGE_POLICY =
  "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

interface Tag {
  name: string
  description: string
}

/** The document and its page, both made from the routes. Must be registered before the routes. */
export default fp(
  async (app, { tags, messages }: { tags: Tag[]; messages: Messages }) => {
    const problemsOf = new Map<string, ProblemConstructor[]>()
    const bodyOptional = new Set<string>()
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Plinth',
          version: packageVersion,
          description: DESCRIPTION,
          license: { name: 'MIT', identifier: 'MIT' } as { name: string },
        },
        servers: [{ url: '/' }],
        tags: [...tags].sort((one, other) => one.name.localeCompare(other.name)),
        components: { securitySchemes },
        webhooks: webhooksOf(messages),
      },
      refResolver: {
        buildLocalReference: (schema, _base, _fragment, index) => String(schema.$id ?? `schema-${index}`),
      },
      transform: ({ schema = {}, url, route }) => {
        const config = route.config ?? {}
        if (schema.operationId) problemsOf.set(schema.operationId, possibleProblems(schema, url, config))
        if (schema.operationId && config.body === 'optional') bodyOptional.add(schema.operationId)
        return { schema: documentedSchema(schema, config), url }
      },
      transformObject: given => {
        const document = addProblems((given as { openapiObject: OpenApiDocument }).openapiObject, problemsOf)
        relaxRequired(document, bodyOptional)
        listProblemCodes(document)
        return document
      },
    })
    await app.register(documentationPage)
  },
  { name: 'openapi' },
)

async function documentationPage(app: FastifyInstance) {
  app.addHook('onRoute', route => {
    route.config = { ...route.config, access: 'public', operational: true }
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    theme: { title: 'Plinth API' },
    // The layout without the bar in which any other address could be opened.
    uiConfig: {
      layout: 'BaseLayout',
      docExpansion: 'list',
      displayRequestDuration: true,
      persistAuthorization: true,
    },
    staticCSP: PAGE_POLICY,
  })
}
