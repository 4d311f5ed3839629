import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import { circumstances, FirstName, facts, greeting, paragraph } from './parts.ts'

export const newDeviceMail = defineTemplate({
  name: 'new-device',
  data: Type.Object({ first_name: FirstName, ...circumstances }),
  subject: () => 'A new device has signed in to your account',
  preheader: () => 'If it was you, all is well. If not, please change your password.',
  body: ({ first_name, ...origin }) => [
    greeting(first_name),
    paragraph('Somebody has signed in to your account on a device that we have not seen there before.'),
    facts(origin),
    paragraph('If it was you, all is well, and there is nothing to do.'),
    paragraph(
      'If it was not you, please change your password now. That signs out every other device, this one among them.',
    ),
  ],
})
