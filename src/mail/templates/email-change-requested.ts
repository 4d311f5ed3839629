import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import { circumstances, FirstName, facts, greeting, MailAddress, paragraph } from './parts.ts'

/** To the old address, while there is still time to prevent the change. */
export const emailChangeRequestedMail = defineTemplate({
  name: 'email-change-requested',
  data: Type.Object({ first_name: FirstName, new_email: MailAddress, ...circumstances }),
  subject: () => 'Your account is about to get another email address',
  preheader: () => 'If you asked for this, all is well. If not, please act now.',
  body: ({ first_name, new_email, ...origin }) => [
    greeting(first_name),
    paragraph(
      'Somebody who knows your password asked us to use another email address for your account. The change takes effect when the link that we have mailed to the new address is followed.',
    ),
    facts(origin, ['New address', new_email]),
    paragraph('If it was you, please go on in the mailbox of the new address. There is nothing to do here.'),
    paragraph(
      'If it was not you, please act now: change your password, and end all other sessions in the settings of your account.',
    ),
  ],
})
