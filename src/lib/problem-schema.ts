import { Type } from '@sinclair/typebox'
import { component, OneOf } from './schema.ts'

const ProblemFault = Type.Object({
  in: OneOf(['body', 'path', 'query', 'header'], { description: 'The part of the request.' }),
  pointer: Type.String({ description: 'JSON pointer to the value within that part.' }),
  code: Type.String({ description: 'The rule that was broken, as JSON Schema names it.' }),
  message: Type.String({ description: 'What the value must be.' }),
})

/** Documents every failure; `plugins/problems.ts` writes it. */
export const ProblemBody = component(
  'Problem',
  Type.Object(
    {
      type: Type.String({ format: 'uri-reference', description: 'Where the code is explained.' }),
      title: Type.String(),
      status: Type.Integer({ minimum: 400, maximum: 599 }),
      detail: Type.String({ description: 'What was wrong this time, in a sentence.' }),
      instance: Type.Optional(Type.String({ description: 'The path that was asked for.' })),
      code: Type.String({ description: 'The name of the problem: what programs should look at.' }),
      request_id: Type.String({ description: 'Also in the X-Request-Id header and in every log line.' }),
      errors: Type.Optional(
        Type.Array(ProblemFault, { maxItems: 50, description: 'For `validation_failed`: every fault.' }),
      ),
      results: Type.Optional(
        Type.Array(Type.Unknown(), {
          maxItems: 50,
          description: 'For `batch_failed`: the results of the operations that failed.',
        }),
      ),
    },
    { description: 'An answer that is not a success (RFC 9457).' },
  ),
)
