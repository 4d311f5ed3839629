import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import { tagOfBytes } from '../../lib/precondition.ts'
import { findProblemDefinition } from '../../lib/problem.ts'
import { NotFound } from '../../lib/problems.ts'
import { ref } from '../../lib/schema.ts'
import { addVary } from '../../plugins/vary.ts'
import type { Domain } from '../domain.ts'
import { explanationPage } from './explanation-page.ts'
import { OpenApi, ProblemExplanation, ProblemParams } from './schemas.ts'

const config = { access: 'public', operational: true, constant: true } as const
const tags = ['documentation']

export default {
  prefix: '',
  tag: { name: 'documentation', description: 'What the service says about itself.' },
  routes: async app => {
    // Nothing in them can change any more, so each is made once, when it is first asked for.
    let document: Page | undefined
    const explanations = new Map<string, Page>()

    app.get(
      '/openapi.json',
      {
        config,
        schema: {
          operationId: 'getOpenApi',
          summary: 'This document',
          tags,
          response: { 200: OpenApi },
        },
      },
      async (_request, reply) => {
        document ??= page('application/json', JSON.stringify(app.swagger()))
        return send(reply, document) as never
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
        const isHtml = prefersHtml(request.headers.accept)
        const name = `${isHtml ? 'html' : 'json'} ${definition.code}`
        const known =
          explanations.get(name) ??
          (isHtml
            ? page('text/html; charset=utf-8', explanationPage(definition))
            : page('application/json', JSON.stringify(definition)))
        explanations.set(name, known)
        addVary(reply, 'Accept')
        return send(reply, known) as never
      },
    )
  },
} satisfies Domain

interface Page {
  type: string
  body: Buffer
  etag: string
}

const page = (type: string, text: string): Page => ({ type, body: Buffer.from(text), etag: tagOfBytes(text) })

/** How long after a deployment somebody may still read what was before it. */
const MAX_AGE_SECONDS = 300

const send = (reply: FastifyReply, { type, body, etag }: Page) =>
  reply
    .type(type)
    .headers({ etag, 'cache-control': `public, max-age=${MAX_AGE_SECONDS}` })
    .send(body as never)

/** Browsers name text/html before anything else; programs name JSON or nothing. */
function prefersHtml(accept = ''): boolean {
  const html = accept.indexOf('text/html')
  const json = accept.indexOf('application/json')
  return html !== -1 && (json === -1 || html < json)
}
