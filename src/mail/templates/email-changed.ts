import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import { circumstances, FirstName, facts, greeting, MailAddress, paragraph } from './parts.ts'

/** To the old address, once it no longer is that of the account. */
export const emailChangedMail = defineTemplate({
  name: 'email-changed',
  data: Type.Object({ first_name: FirstName, new_email: MailAddress, ...circumstances }),
  subject: () => 'Your account has another email address now',
  preheader: () => 'From now on we write to the new address.',
  body: ({ first_name, new_email, ...origin }) => [
    greeting(first_name),
    paragraph(
      'The email address of your account has been changed. From now on you sign in with the new one, and we write to you there.',
    ),
    facts(origin, ['New address', new_email]),
    paragraph('If it was you, all is well, and there is nothing left to do.'),
    paragraph(
      'If it was not you, somebody else has got into your account. Please tell our support at once, and keep this mail: it shows what happened, and when.',
    ),
  ],
})
