import type { TObject, TSchema } from '@sinclair/typebox'

/** What the service sends by itself, as the receiver is to understand it. */
export interface Message {
  operationId: string
  summary: string
  description: string
  tags: string[]
  headers: TObject
  /** The body is one of these components. */
  bodies: readonly TSchema[]
  /** What follows from which answer, by status or range of these. */
  responses: Record<string, string>
}

export type Messages = Record<string, Message>

/** The `webhooks` of the document: written out, because the plugin hands them on as they are. */
export const webhooksOf = (messages: Messages): Record<string, object> =>
  Object.fromEntries(
    Object.entries(messages).map(([name, message]) => [name, { post: operationOf(message) }]),
  )

const operationOf = ({ headers, bodies, responses, ...texts }: Message) => ({
  ...texts,
  // By a signature in the headers, which is none of the ways in which clients of ours show who they are.
  security: [],
  parameters: Object.entries(headers.properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'header',
    required: headers.required?.includes(name) ?? false,
    description,
    schema,
  })),
  requestBody: {
    required: true,
    content: {
      'application/json': {
        schema: { oneOf: bodies.map(body => ({ $ref: `#/components/schemas/${body.$id}` })) },
      },
    },
  },
  responses: Object.fromEntries(
    Object.entries(responses).map(([status, description]) => [status, { description }]),
  ),
})
