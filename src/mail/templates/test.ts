import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'

/** Sent by `plinth mail-test`. */
export const testMail = defineTemplate({
  name: 'test',
  data: Type.Object({
    asked_at: Type.String({ maxLength: 100 }),
    host: Type.String({ maxLength: 500 }),
    environment: Type.String({ maxLength: 100 }),
  }),
  subject: ({ host }) => `Mail from ${host} arrives`,
  preheader: () => 'Nothing is left to do.',
  body: ({ asked_at, host, environment }) => [
    {
      kind: 'paragraph',
      text: 'This is a test. If you can read it, mail from this service arrives, and nothing is left to do.',
    },
    {
      kind: 'facts',
      facts: [
        ['Asked for at', asked_at],
        ['On', host],
        ['NODE_ENV', environment],
      ],
    },
    { kind: 'small', text: 'Somebody who runs the service has sent it with `plinth mail-test`.' },
  ],
})
