import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import { circumstances, FirstName, facts, greeting, paragraph } from './parts.ts'

const WHAT_HAPPENED = {
  changed: 'The password of your account has been changed, and every other device has been signed out.',
  reset:
    'A new password has been set for your account with a link that we mailed to this address, and every device has been signed out.',
}

const WHAT_TO_DO = {
  changed:
    'If it was not you, please ask for a link to reset your password now; where you sign in, you find “Forgot password”. A reset signs out every device.',
  reset:
    'If it was not you, somebody else can read your mail. Please change the password of your mailbox first, and then that of your account, with “Forgot password” where you sign in.',
}

export const passwordChangedMail = defineTemplate({
  name: 'password-changed',
  data: Type.Object({
    first_name: FirstName,
    ...circumstances,
    how: Type.Optional(Type.Union([Type.Literal('changed'), Type.Literal('reset')])),
  }),
  subject: () => 'Your password has been changed',
  preheader: () => 'If it was you, all is well. If not, please act now.',
  body: ({ first_name, how = 'changed', ...origin }) => [
    greeting(first_name),
    paragraph(WHAT_HAPPENED[how]),
    facts(origin),
    paragraph('If it was you, all is well, and there is nothing to do.'),
    paragraph(WHAT_TO_DO[how]),
  ],
})
