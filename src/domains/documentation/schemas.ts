import { Type } from '@sinclair/typebox'
import { component } from '../../lib/schema.ts'

export const ProblemExplanation = component(
  'ProblemExplanation',
  Type.Object({
    code: Type.String(),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    title: Type.String(),
    explanation: Type.String({ description: 'What the problem means.' }),
    remedy: Type.String({ description: 'What the caller can do about it.' }),
  }),
)

export const ProblemParams = Type.Object({
  code: Type.String({ maxLength: 100, description: 'The `code` of a problem.' }),
})

/** The document describes itself no further than this: its schema is the OpenAPI specification. */
export const OpenApi = Type.Object(
  { openapi: Type.String() },
  { additionalProperties: true, description: 'An OpenAPI 3.1 document.' },
)
