import { Type } from '@sinclair/typebox'
import { findProblemDefinition } from '../../lib/problem.ts'
import { NotFound } from '../../lib/problems.ts'
import { ref } from '../../lib/schema.ts'
import type { Domain } from '../domain.ts'
import { explanationPage } from './explanation-page.ts'
import { OpenApi, ProblemExplanation, ProblemParams } from './schemas.ts'

const config = { access: 'public', operational: true } as const
const tags = ['documentation']

export default {
  prefix: '',
  tag: { name: 'documentation', description: 'What the service says about itself.' },
  routes: async app => {
    let document: Buffer | undefined

    app.get(
      '/openapi.json',
      {
        config: { ...config, constant: true },
        schema: {
          operationId: 'getOpenApi',
          summary: 'This document',
          tags,
          response: { 200: OpenApi },
        },
      },
      async (_request, reply) => {
        // The routes cannot change any more, so it is made and written once, when first asked for.
        document ??= Buffer.from(JSON.stringify(app.swagger()))
        return reply.type('application/json').send(document as never)
      },
    )

    app.get(
      '/problems/:code',
      {
        config,
        schema: {
          operationId: 'getProblem',
          summary: 'What a problem code means',
          description: 'JSON, or a page for people where `Accept` prefers `text/html`.',
          tags,
          params: ProblemParams,
          response: {
            200: {
              description: 'The explanation.',
              content: {
                'application/json': { schema: ref(ProblemExplanation) },
                'text/html': { schema: Type.String() },
              },
            },
          },
        },
      },
      async (request, reply) => {
        const definition = findProblemDefinition(request.params.code)
        if (definition === undefined) throw new NotFound('There is no problem with this code.')
        reply.header('vary', [reply.getHeader('vary'), 'Accept'].filter(Boolean).join(', '))
        if (prefersHtml(request.headers.accept)) {
          return reply.type('text/html; charset=utf-8').send(explanationPage(definition))
        }
        return reply.type('application/json').send(definition)
      },
    )
  },
} satisfies Domain

/** Browsers name text/html before anything else; programs name JSON or nothing. */
function prefersHtml(accept = ''): boolean {
  const html = accept.indexOf('text/html')
  const json = accept.indexOf('application/json')
  return html !== -1 && (json === -1 || html < json)
}
