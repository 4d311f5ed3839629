import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import { FirstName, greeting, Link, paragraph } from './parts.ts'

const REASONS = {
  gone: 'It answered a message with the status 410, which says that it wants no more of them.',
  failing:
    'For five days, none of the messages that were sent to it was answered with success. The delivery log of the webhook tells what came of each.',
}

export const webhookDisabledMail = defineTemplate({
  name: 'webhook-disabled',
  data: Type.Object({
    first_name: FirstName,
    url: Link,
    id: Type.String({ maxLength: 36 }),
    why: Type.Union([Type.Literal('gone'), Type.Literal('failing')]),
  }),
  subject: () => 'A webhook of yours has been disabled',
  preheader: () => 'Nothing more is sent to it until you enable it again.',
  body: ({ first_name, url, id, why }) => [
    greeting(first_name),
    paragraph(`Your webhook ${id} at this address has been disabled: ${url}`),
    paragraph(REASONS[why]),
    paragraph(
      'Nothing more is sent to it until you enable it again. What happened meanwhile is not lost: you can have the events of any time sent again.',
    ),
  ],
})
